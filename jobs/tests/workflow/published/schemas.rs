//! `docs/schemas/`: what comes in, what goes out.

use std::{collections::BTreeSet, fs};

use enrolld_jobs::{
    cloud_event::{Envelope, UpstreamEvent},
    refusal::Reason,
    view::{OpsAlert, RegistrationChanged, RegistrationView},
};
use schemars::{JsonSchema, Schema, generate::SchemaSettings, schema_for};
use serde_json::{Map, Value, json};

use super::{docs, is_current};

/// Every schema by the name of its file.
fn schemas() -> Vec<(String, Value)> {
    let mut all = vec![
        ("event.json".to_owned(), event()),
        ("registration.json".to_owned(), sent_out::<RegistrationView>()),
        (
            "registration.changed.json".to_owned(),
            sent_out::<RegistrationChanged>(),
        ),
        ("ops.alert.json".to_owned(), sent_out::<OpsAlert>()),
        ("refusal-reason.json".to_owned(), schema_for!(Reason).to_value()),
    ];
    let data = UpstreamEvent::data_schemas().into_iter();
    all.extend(data.map(|(kind, schema)| (format!("data/{kind}.json"), titled(schema, kind))));
    all
}

fn titled(mut schema: Schema, title: &str) -> Value {
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}

/// The schema of what the daemon writes: no field is left out.
fn sent_out<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The envelope, and for each type the data it must carry.
fn event() -> Value {
    let mut schema = schema_for!(Envelope).to_value();
    schema["properties"]["type"]["enum"] = json!(UpstreamEvent::TYPES);
    let types = UpstreamEvent::data_schemas().into_iter().map(|(kind, data)| {
        let reference = json!({"$ref": format!("data/{kind}.json")});
        let must_be_given = data.get("required").is_some() || data.get("oneOf").is_some();
        let mut then = json!({"properties": {"data": reference}});
        if must_be_given {
            then["required"] = json!(["data"]);
        } else {
            then["properties"]["data"] = json!({"anyOf": [reference, {"type": "null"}]});
        }
        if kind.starts_with("registration.") {
            then["properties"]["subject"] = json!({"pattern": "^[A-Za-z0-9._-]{1,64}$"});
        }
        json!({"if": {"properties": {"type": {"const": kind}}}, "then": then})
    });
    schema["allOf"] = types.collect();
    schema
}

/// As text, the same however serde_json was built to order its maps.
fn text(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(&sorted(value)).expect("JSON");
    text.push('\n');
    text
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| key.as_str());
            let fields = fields.into_iter().map(|(key, field)| (key.clone(), sorted(field)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[test]
fn the_schemas_are_current() {
    for (name, schema) in schemas() {
        is_current(&format!("schemas/{name}"), &text(&schema));
    }
}

#[test]
fn no_schema_is_left_over() {
    let expected: BTreeSet<_> = schemas().into_iter().map(|(name, _)| name).collect();
    for folder in ["", "data/"] {
        let listed = fs::read_dir(docs().join("schemas").join(folder)).expect("docs/schemas");
        for entry in listed {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            let known = expected.contains(&format!("{folder}{name}")) || name == "data";
            assert!(known, "docs/schemas/{folder}{name} is of no type");
        }
    }
}

#[test]
fn the_contract_links_every_schema() {
    let contract = fs::read_to_string(docs().join("contract.md")).expect("docs/contract.md");
    for (name, _) in schemas() {
        assert!(
            contract.contains(&format!("(schemas/{name})")),
            "docs/contract.md does not link {name}"
        );
    }
}
