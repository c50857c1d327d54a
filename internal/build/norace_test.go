//go:build !race

package build

// manyModules is more than any package has.
const manyModules = 10000
