"""The commands of `clew`, one module each; a module's function has the module's name."""
