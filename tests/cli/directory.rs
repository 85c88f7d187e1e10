use super::Enrolld;

const DIRECTORY: &str = include_str!("../support/directory.json");

#[test]
fn what_is_exported_can_be_imported() {
    let first = Enrolld::migrated("");
    first.write("directory.json", DIRECTORY);
    insta::assert_snapshot!(
        "import",
        first.run(&["directory", "import", "directory.json"]).succeeds()
    );
    let exported = first.run(&["directory", "export"]).succeeds();
    let told = first.run(&["directory", "export", "export.json"]).succeeds();
    assert!(told.starts_with("RECORDS         WRITTEN\n"), "{told}");
    assert_eq!(
        std::fs::read_to_string(first.path("export.json")).expect("it was written"),
        exported
    );
    assert!(!first.path("export.json.partial").exists());
    // `--output` is the form of what is told, here as everywhere.
    let counts = first
        .run(&["directory", "export", "export.json", "--output", "json"])
        .json();
    assert_eq!(counts["accounts"], 7);
    assert!(!first.path("json").exists());

    let second = Enrolld::migrated("");
    second.write("directory.json", &exported);
    let counts = second
        .run(&["directory", "import", "directory.json", "--output", "json"])
        .json();
    assert_eq!(
        counts["accounts"],
        serde_json::json!({"added": 7, "changed": 0, "unchanged": 0})
    );
    assert_eq!(second.run(&["directory", "export"]).succeeds(), exported);
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    let enrolld = Enrolld::migrated("");
    enrolld.write(
        "directory.json",
        r#"{"devices":[{"serial_number":"FOC1436Y3XK","contract_number":"1"}]}"#,
    );
    let said = enrolld.run(&["directory", "import", "directory.json"]).fails();
    assert!(
        said.starts_with("error: nothing was imported: the file has 1 problem\n"),
        "{said}"
    );
    let said = enrolld.run(&["directory", "import", "nowhere.json"]).fails();
    assert!(said.starts_with("error: cannot read nowhere.json: "), "{said}");
    assert_eq!(said.lines().count(), 1, "the cause is told once: {said}");
}

#[test]
fn a_status_that_means_nothing_is_warned_of() {
    let enrolld = Enrolld::migrated("");
    let file = DIRECTORY.replacen("\"status\": \"active\"", "\"status\": \"Active\"", 1);
    assert_ne!(file, DIRECTORY);
    enrolld.write("directory.json", file);
    let ended = enrolld.run(&["directory", "import", "directory.json"]);
    assert!(
        ended.stderr.contains("have a status that is none of active, inactive"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("status=\"Active\""), "{}", ended.stderr);
    ended.succeeds();
}

#[test]
fn an_export_that_fails_leaves_what_was_there() {
    let enrolld = Enrolld::migrated("");
    let said = enrolld
        .run(&["directory", "export", "no/such/folder/directory.json"])
        .fails();
    assert!(
        said.contains("no/such/folder/directory.json could not be written"),
        "{said}"
    );
}
