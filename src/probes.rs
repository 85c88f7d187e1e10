//! What holds of whatever comes from outside. Each function reads its bytes as the daemon would, and panics where something does not
//! hold: the fuzz targets (`fuzz/`) call them with what they make up, a test with what is kept of that (`fuzz/corpus/`).

pub use crate::{
    directory::probe::{directory_csv, directory_json},
    intake::probe::{intake_entry, link_tokens},
};
