"""Parts of the command line: the sockets and descriptors of its process, and its supervisor."""
