// Builds every function as Netlify does, into folders of build/ instead of zips.
import { zipFunctions } from '@netlify/zip-it-and-ship-it';

await zipFunctions('functions', 'build', { archiveFormat: 'none', basePath: process.cwd(), config: { '*': { nodeBundler: 'esbuild' } } });
