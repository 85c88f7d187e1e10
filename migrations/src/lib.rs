//! The schema of the database of enrolld.
