import chalk, { Chalk, modifierNames } from 'chalk';

export const handler = async () => [new Chalk({ level: 1 }).red.bold('x'), typeof chalk.hex, modifierNames.length];
