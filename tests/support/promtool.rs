//! `promtool`, which judges metrics and rules as Prometheus does.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs it in `folder` with `input`, and returns what it said. It must be content.
pub(crate) fn promtool(arguments: &[&str], folder: &Path, input: &str) -> String {
    let child = Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("promtool can be run; `scripts/install-missing promtool` installs it");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads to the end");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends by itself");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {said}\n{input}");
    said
}
