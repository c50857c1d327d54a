// Builds every function into an archive of the folder zips, as Netlify does for a deploy.
import { dirname } from 'node:path';
import { zipFunctions } from '@netlify/zip-it-and-ship-it';

await zipFunctions('functions', 'zips', { basePath: dirname(process.cwd()), config: { '*': { nodeBundler: process.argv[2] } } });
