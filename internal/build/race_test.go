//go:build race

package build

// manyModules is small: the race detector's memory counts against the bound of the bundler's process.
const manyModules = 1000
