# `cmake --install`: a CMake package and pkg-config files for ioloop and cql.
