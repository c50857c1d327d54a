// Package house holds no code: its tests keep the shape of the project, so that the walls between
// packages are not a matter of memory. docs/architecture.md shows the picture they hold.
package house
