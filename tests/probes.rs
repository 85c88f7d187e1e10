//! What was once made up to break the readers of what comes from outside, or was found to reach far into them, holds (`fuzz/`).

use std::{fs, path::Path};

use enrolld::probes;

fn hold(target: &str, probe: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut number = 0;
    for file in fs::read_dir(&folder).expect("each target has a corpus") {
        let file = file.expect("the folder is readable").path();
        let bytes = fs::read(&file).expect("the file is readable");
        let held = std::panic::catch_unwind(|| probe(&bytes));
        assert!(
            held.is_ok(),
            "{} does not hold; the reason stands above",
            file.display()
        );
        number += 1;
    }
    assert!(number > 0);
}

#[test]
fn entries_of_the_intake() {
    hold("intake_entry", probes::intake_entry);
}

#[test]
fn d7_tokens_in_links() {
    hold("link_tokens", probes::link_tokens);
}

#[test]
fn directories_in_json() {
    hold("directory_json", probes::directory_json);
}

#[test]
fn directories_in_csv() {
    hold("directory_csv", probes::directory_csv);
}
