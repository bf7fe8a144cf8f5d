use super::*;
use std::path::Path;

/// Regenerating the file (BATON_BLESS=1) is approving a change of the API.
#[test]
fn the_committed_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openrpc.json");
    let mut document = serde_json::to_string_pretty(Document::value()).unwrap();
    document.push('\n');
    if std::env::var_os("BATON_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &document).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == document,
        "docs/openrpc.json is not what the table of methods makes; if the change is meant, run this test \
         with BATON_BLESS=1 and commit the file"
    );
}

fn method(name: &str) -> &'static Value {
    let methods = Document::value()["methods"].as_array().unwrap();
    methods.iter().find(|method| method["name"] == name).unwrap()
}

fn params(name: &str) -> Vec<(&'static str, bool)> {
    let params = method(name)["params"].as_array().unwrap();
    params.iter().map(|each| (each["name"].as_str().unwrap(), each["required"] == true)).collect()
}

#[test]
fn parameters_stand_in_the_order_in_which_they_go_by_position() {
    assert_eq!(
        params("baton_submit"),
        [("rollup", true), ("data", true), ("valid_until", false), ("fee_hint", false), ("ack", false)]
    );
    assert_eq!(params("baton_rollupBlocks"), [("rollup", true), ("from_height", true), ("limit", false)]);
    assert_eq!(params("baton_status"), []);
}

#[test]
fn a_choice_of_topics_goes_by_name() {
    assert_eq!(method("baton_subscribe")["paramStructure"], "by-name");
    let params = params("baton_subscribe");
    assert_eq!(params[0], ("topic", true));
    assert_eq!(params.len(), 7, "{params:?}");
    let topics = &method("baton_subscribe")["params"][0]["schema"]["enum"];
    assert_eq!(topics, &json!(["blocks", "transaction", "cluster", "batches", "rollup"]));
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let pointer = reference.strip_prefix('#').expect("references are local");
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                map.values().for_each(|value| walk(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, document)),
            _ => (),
        }
    }
    walk(Document::value(), Document::value());
}
