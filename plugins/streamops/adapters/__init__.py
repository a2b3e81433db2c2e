"""Everything that talks to a server or a file system: the only IO of the library."""
