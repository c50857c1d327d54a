'use strict';
// The cookies of a request, and those that its answer sets (RFC 6265), as context.cookies.

// What would end a field or begin another one.
const inName = /[\x00-\x20\x7f()<>@,;:\\"/[\]?={}]/;
const inValue = /[\x00-\x1f\x7f",;\\\s]/;
const inField = /[\x00-\x1f\x7f;]/;

class Cookies {
  #sent = new Map();
  changes = []; // values of Set-Cookie, in order

  // header is the value of Cookie, or null.
  constructor(header) {
    for (const text of (header ?? '').split(';')) {
      const pair = text.trim();
      const at = pair.indexOf('=');
      if (at > 0) this.#sent.set(pair.slice(0, at).trim(), pair.slice(at + 1).trim());
    }
  }

  // face gives what functions see.
  face() {
    return {
      get: (name) => this.#sent.get(name),
      set: (cookie, value) => this.#set(typeof cookie === 'string' ? { name: cookie, value } : cookie),
      delete: (cookie) => {
        const { name, path, domain } = { path: '/', ...typeof cookie === 'string' ? { name: cookie } : cookie };
        this.#set({ name, value: '', path, domain, expires: new Date(0) });
      },
    };
  }

  #set({ name, value, expires, maxAge, domain, path, secure, httpOnly, sameSite, unparsed }) {
    if (typeof name !== 'string' || name === '' || inName.test(name)) throw new TypeError(`${JSON.stringify(name)} can't be the name of a cookie`);
    if (inValue.test(String(value))) throw new TypeError(`the cookie ${name} has a value with characters that must be encoded`);
    if (name.startsWith('__Secure-')) secure = true;
    if (name.startsWith('__Host-')) [path, secure, domain] = ['/', true, undefined];
    const fields = [`${name}=${value}`];
    const add = (label, v) => {
      if (v === undefined || v === null) return;
      if (inField.test(v)) throw new TypeError(`the cookie ${name} has ${label} with characters that it may not have`);
      fields.push(`${label}=${v}`);
    };
    if (secure) fields.push('Secure');
    if (httpOnly) fields.push('HttpOnly');
    add('Max-Age', maxAge);
    add('Domain', domain);
    add('SameSite', sameSite);
    add('Path', path);
    add('Expires', expires && new Date(expires).toUTCString());
    for (const field of unparsed ?? []) {
      if (inField.test(field)) throw new TypeError(`the cookie ${name} has a field with characters that it may not have`);
      fields.push(field);
    }
    this.changes.push(fields.join('; '));
  }
}

module.exports = { Cookies };
