//! The workflow of enrolld, free of I/O.
