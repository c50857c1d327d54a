// Package zygote holds the addon by which a Node.js process that has loaded a function lets itself be
// forked. It is C, built by make where there is a compiler, and does nothing that the gate in package
// walls does not grant. It must not know functions, policies or the supervisor.
package zygote

// Path is where the addon lies inside a zygote's sandbox.
const Path = "/opt/weir/fork.node"
