'use strict';
// Loading a function that was built as a pack: every module is a function, and the modules of a package
// come from one script. To the code, all is as if each module stood in a file of its own below root, and
// Node had loaded it. internal/build/pack.go says what the files hold.
const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');
const Module = require('node:module');
const { fileURLToPath, pathToFileURL } = require('node:url');

// Packages replace these, and what is loaded after them must still be found.
const { closeSync, openSync, readFileSync, readSync } = fs;
const own = Object.hasOwn;

// loadPack evaluates the handler's module in the pack below root and gives its exports. code is what
// compilePack gave for this pack: the file that holds it now, and the sizes of its parts; without it all is
// compiled anew. rejected is called if V8 can't use some of it, which is of another build of Node then.
async function loadPack(root, code, rejected) {
  const pack = new Pack(root);
  if (code) pack.useCode(readFileSync(code.file), code.sizes, rejected);
  pack.serveOthers();
  await pack.prepare(0);
  return pack.run(0, module);
}

// compilePack gives the compiled code of each script of a pack. It runs none of it.
function compilePack(root) {
  return new Pack(root).compileAll();
}

class Pack {
  #root;
  #file;
  #modules;
  #packages;
  #byFile = null; // indices of modules, by file
  #running = []; // Module objects by index
  #failed = new Map(); // what an ES module threw, by index: it is not evaluated again
  #outside; // require for what is not in the pack
  #before = new Map(); // ES modules that are not in the pack: what gives or throws what their import did
  #waits; // whether any module needs one of those
  #code = []; // compiled, of each package
  #rejected; // called once

  constructor(root) {
    this.#root = root;
    this.#file = path.join(root, '.weir', 'pack.js');
    const index = JSON.parse(readFileSync(path.join(root, '.weir', 'pack.json'), 'utf8'));
    this.#modules = index.modules;
    this.#packages = index.packages;
    this.#outside = Module.createRequire(path.join(root, index.modules[0].file));
    this.#waits = this.#modules.some((m) => m.before);
    const count = this.#packages.map(() => 0);
    for (const m of this.#modules) m.slot = count[m.package]++;
  }

  // prepare imports the ES modules outside of the pack that a module needs, and those that it loads. They
  // are evaluated before it, as in Node, but also before its neighbours.
  async prepare(id) {
    if (!this.#waits) return;
    const needed = new Set([id]);
    for (const id of needed) { // also of those that are added meanwhile
      const spec = this.#modules[id];
      for (const name of spec.before ?? []) {
        const to = spec.outside[name];
        if (!this.#before.has(to)) this.#before.set(to, await settled(this.#importer()(to)));
      }
      for (const name in spec.imports) if (!spec.dynamic?.includes(name)) needed.add(spec.imports[name]);
    }
  }

  // serveOthers lets packages that are not in the pack require by a computed name what is: an engine for views,
  // a driver.
  serveOthers() {
    const resolve = Module._resolveFilename;
    Module._resolveFilename = (name, parent, ...more) => {
      try {
        return resolve(name, parent, ...more);
      } catch (e) {
        const id = this.#named(name);
        if (id === undefined) throw e;
        this.run(id, parent ?? module); // puts it where Node looks first
        return path.join(this.#root, this.#modules[id].file);
      }
    };
  }

  // named gives the index of the module that a package's name means to the site's own code.
  #named(name) {
    if (/^[./]/.test(name)) return undefined;
    return this.#modules.find((m) => this.#packages[m.package].name === '' && m.imports && own(m.imports, name))?.imports[name];
  }

  // run evaluates a module unless that was done, and gives its exports.
  run(id, parent) {
    const spec = this.#modules[id];
    const known = this.#running[id];
    if (known !== undefined && Module._cache[known.filename] === known) return exportsOf(spec, known);
    if (this.#failed.has(id)) throw this.#failed.get(id);
    const filename = path.join(this.#root, spec.file);
    const module = new Module(filename, parent);
    module.filename = filename;
    module.paths = Module._nodeModulePaths(module.path);
    this.#running[id] = Module._cache[filename] = module;
    let done = false;
    try {
      this.#evaluate(id, spec, module);
      done = true;
    } catch (e) {
      if (spec.esm) this.#failed.set(id, e);
      throw e;
    } finally {
      if (!done) {
        this.#running[id] = undefined;
        delete Module._cache[filename];
        const children = parent.children ?? [];
        if (children.at(-1) === module) children.pop();
      }
    }
    module.loaded = true;
    return exportsOf(spec, module);
  }

  #evaluate(id, spec, module) {
    if (spec.json) {
      module.exports = JSON.parse(this.#read(...spec.json).utf8Slice());
      return;
    }
    const code = this.#script(spec.package)[spec.slot];
    const require = this.#requireOf(spec, module);
    const given = spec.esm ? [require, module] : [module.exports, require, module, module.filename, module.path];
    if (spec.meta) given.push(this.#metaOf(module, require));
    if (spec.import) given.push((name, options) => this.#import(spec, module, name, options));
    code.call(spec.esm ? undefined : module.exports, ...given);
  }

  // script gives the functions of a package's modules.
  #script(id) {
    const p = this.#packages[id];
    if (p.functions === undefined) {
      const script = this.#compile(p, this.#code[id]);
      if (script.cachedDataRejected) {
        this.#rejected?.();
        this.#rejected = undefined;
      }
      p.functions = script.runInThisContext()(...helpers);
    }
    return p.functions;
  }

  useCode(code, sizes, rejected) {
    let at = 0;
    this.#code = sizes.map((size) => code.subarray(at, at += size));
    this.#rejected = rejected;
  }

  compileAll() {
    return this.#packages.map((p) => this.#compile(p).createCachedData());
  }

  #compile(p, cachedData) {
    const slice = p.ascii ? 'latin1Slice' : 'utf8Slice';
    return new vm.Script(this.#read(p.at, p.size)[slice](), {
      filename: this.#file,
      lineOffset: p.line,
      importModuleDynamically: vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER, // for import() in eval
      cachedData,
    });
  }

  // read gives a part of pack.js. Most of a large one may never be needed.
  #read(at, size) {
    const part = Buffer.allocUnsafeSlow(size);
    const fd = openSync(this.#file);
    try {
      if (readSync(fd, part, 0, size, at) !== size) throw new Error(`${this.#file} is cut short`);
    } finally {
      closeSync(fd);
    }
    return part;
  }

  #requireOf(spec, module) {
    const later = new Set(spec.dynamic);
    const require = (name) => {
      if (later.has(name)) return thenable(this.#import(spec, module, name));
      return this.#follow(spec, module, name);
    };
    require.resolve = (name, options) => this.#resolve(spec, module, name, options);
    require.resolve.paths = (name) => this.#outside.resolve.paths(name);
    require.main = process.mainModule;
    require.extensions = Module._extensions;
    require.cache = Module._cache;
    return require;
  }

  // follow is require: by the pack's index; else, where the name was computed, by what lies beside the
  // module, in the pack or on disk.
  #follow(spec, module, name) {
    const id = this.#find(spec, module, name);
    if (id !== undefined) {
      const exports = this.run(id, module);
      // An ES module may say what require gives (Node.js, "Loading ECMAScript modules using require()").
      return namespaces.has(exports) && own(exports, 'module.exports') ? exports['module.exports'] : exports;
    }
    if (spec.outside && own(spec.outside, name)) {
      const to = spec.outside[name];
      const before = spec.before?.includes(name) && this.#before.get(to);
      return before ? before() : this.#outside(to);
    }
    return this.#requireAt(module, name)(name);
  }

  // find gives the index of the module that a name leads to, undefined if it is none of the pack's.
  #find(spec, module, name) {
    if (spec.imports && own(spec.imports, name)) return spec.imports[name];
    if (typeof name !== 'string' || !/^(?:\.\.?)?\//.test(name) && name !== '.' && name !== '..') return undefined;
    this.#byFile ??= new Map(this.#modules.map((m, i) => [path.join(this.#root, m.file), i]));
    const file = path.resolve(module.path, name);
    for (const end of ['', '.js', '.json', '.cjs', '.mjs', '/index.js', '/index.json']) {
      const id = this.#byFile.get(file + end);
      if (id !== undefined) return id;
    }
    return undefined;
  }

  // requireAt gives Node's own require: a package is looked for from the handler's file, where the build
  // put what it carried; all else from the module's.
  #requireAt(module, name) {
    return /^(?:\.|\/)/.test(name) ? Module.createRequire(module.filename) : this.#outside;
  }

  #resolve(spec, module, name, options) {
    const id = options === undefined ? this.#find(spec, module, name) : undefined;
    if (id !== undefined) return path.join(this.#root, this.#modules[id].file);
    if (spec.outside && own(spec.outside, name)) return this.#outside.resolve(spec.outside[name], options);
    return this.#requireAt(module, name).resolve(name, options);
  }

  // import is import(), of a name that stands in the source or was computed.
  async #import(spec, module, name, options) {
    const outside = spec.outside && own(spec.outside, name);
    const id = this.#find(spec, module, fileOf(name)) ?? (outside ? undefined : this.#named(name));
    if (id !== undefined) {
      await this.prepare(id);
      return namespaceOf(this.run(id, module), spec.node);
    }
    if (outside) return this.#importer()(spec.outside[name], options);
    return /^\./.test(name) ? importerAt(module.filename)(name, options) : this.#importer()(name, options);
  }

  // importer gives the import() of the handler's file.
  #importer() { return importerAt(path.join(this.#root, this.#modules[0].file)); }

  #metaOf(module, require) {
    const url = pathToFileURL(module.filename).href;
    const resolve = (name) => {
      if (/^(?:\.\.?)?\//.test(name) || URL.canParse(name)) return new URL(name, url).href;
      const to = require.resolve(name);
      return path.isAbsolute(to) ? pathToFileURL(to).href : to.startsWith('node:') ? to : 'node:' + to;
    };
    return { __proto__: null, dirname: module.path, filename: module.filename, main: false, resolve, url };
  }
}

// exportsOf gives a module's exports, which for an ES module are there before its code runs.
function exportsOf(spec, module) {
  if (spec.esm) namespaces.add(module.exports);
  return module.exports;
}

// importerAt gives the import() of a file that need not exist.
function importerAt(filename) {
  return new vm.Script('(name, options) => import(name, options)', {
    filename,
    importModuleDynamically: vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  }).runInThisContext();
}

// fileOf gives the path of a URL of a file, and anything else as it is.
function fileOf(name) {
  return /^file:/.test(name) ? fileURLToPath(name) : name;
}

// settled gives a function that gives what a module's import did, or throws it.
function settled(promise) {
  return promise.then((namespace) => {
    namespaces.add(namespace);
    return () => namespace;
  }, (e) => () => { throw e; });
}

// What follows is called by the code that esbuild makes of import and export. Its own functions take
// every object with __esModule for an ES module; here it is known which ones were.
const namespaces = new WeakSet();
const views = new WeakMap(); // of CommonJS exports, as Node imports them

const copyGetters = (to, from, except) => {
  if (from === null || typeof from !== 'object' && typeof from !== 'function') return to;
  for (const key of Object.getOwnPropertyNames(from)) {
    if (key === except || own(to, key)) continue;
    const enumerable = Object.prototype.propertyIsEnumerable.call(from, key);
    Object.defineProperty(to, key, { get: () => from[key], enumerable });
  }
  return to;
};

// namespaceOf gives what import * gives for the exports of a module. For CommonJS the default is all of
// them, in Node; code for bundlers expects the export of that name if there is __esModule.
function namespaceOf(exports, asNode) {
  if (namespaces.has(exports) || !asNode && exports?.__esModule) return exports;
  if (exports === null || typeof exports !== 'object' && typeof exports !== 'function') return { default: exports };
  const names = Object.getOwnPropertyNames(exports).length; // more may come in a cycle
  const known = views.get(exports);
  if (known?.names === names) return known.view;
  const view = Object.create(Object.getPrototypeOf(exports), { default: { value: exports, enumerable: true } });
  views.set(exports, { names, view: copyGetters(view, exports, 'default') });
  return view;
}

// thenable stands for a promise where esbuild's code copies an object's own properties.
function thenable(promise) {
  const copied = { __esModule: true, then: (done, failed) => promise.then(done, failed) };
  namespaces.add(copied);
  return copied;
}

const helpers = [
  Object.create, Object.defineProperty, Object.getOwnPropertyDescriptor, Object.getOwnPropertyNames,
  Object.getPrototypeOf, Object.prototype.hasOwnProperty,
  copyGetters, // __copyProps
  (target, all) => { for (const name in all) Object.defineProperty(target, name, { get: all[name], enumerable: true }); }, // __export
  (target, mod) => copyGetters(target, mod, 'default'), // __reExport
  namespaceOf, // __toESM
  (exports) => Object.defineProperty(exports, '__esModule', { value: true }), // __toCommonJS
];

module.exports = { loadPack, compilePack };
