//! The API described in OpenRPC, made from the table of methods.

use crate::{
    dispatch::{self, Method, Table},
    methods,
};
use baton_types::{
    api::{BlockEvent, ClusterView, ErrorData, RollupBlock},
    receipt::Reason,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::{borrow::Cow, collections::BTreeSet, sync::LazyLock};

#[cfg(test)]
mod tests;

const DESCRIPTION: &str = "JSON-RPC 2.0 by POST or over a WebSocket on / and /rollup/<name>. Parameters go \
    by name or by position. Heights, views, indices and Unix milliseconds are numbers; hashes, keys and bytes \
    are 0x strings; amounts are decimal strings.";

/// Where schemas stand that others refer to.
const DEFINITIONS: &str = "/components/schemas";

/// The description, as `rpc.discover` returns it.
#[derive(Clone, Copy, Debug)]
pub struct Document;

impl Document {
    pub fn value() -> &'static Value {
        static VALUE: LazyLock<Value> = LazyLock::new(|| describe(methods::table()));
        &VALUE
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::value().serialize(serializer)
    }
}

impl JsonSchema for Document {
    fn schema_name() -> Cow<'static, str> {
        "OpenRpcDocument".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "object", "description": "An OpenRPC document."})
    }
}

/// Describes every method of a table.
pub fn describe<S>(table: &Table<S>) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.definitions_path = DEFINITIONS.into());
    let mut generator = settings.into_generator();
    let methods: Vec<_> = table.methods().iter().map(|each| method(each, &mut generator)).collect();
    let refused = generator.subschema_for::<ErrorData>();
    // What notifications carry beside results of methods.
    generator.subschema_for::<BlockEvent>();
    generator.subschema_for::<RollupBlock>();
    generator.subschema_for::<ClusterView>();
    let schemas = generator.take_definitions(true);
    let reasons: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "Baton node",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
        },
        "methods": methods,
        "components": {
            "schemas": schemas,
            "errors": {
                "Refused": {
                    "code": dispatch::REFUSED,
                    "message": format!("refused; data.reason is one of {}", reasons.join(", ")),
                    "data": refused,
                },
            },
        },
    })
}

fn method<S>(method: &Method<S>, generator: &mut SchemaGenerator) -> Value {
    let params = resolve((method.params)(generator), generator);
    let fields = (method.fields)();
    let structure = if params.get("oneOf").is_some() { "by-name" } else { "either" };
    json!({
        "name": method.name,
        "summary": method.summary,
        "paramStructure": structure,
        "params": descriptors(&params, fields),
        "result": { "name": "result", "schema": (method.result)(generator) },
        "errors": [{ "$ref": "#/components/errors/Refused" }],
    })
}

/// Follows a reference into the definitions.
fn resolve(schema: Schema, generator: &SchemaGenerator) -> Value {
    let name = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| reference.rsplit('/').next())
        .map(str::to_owned);
    name.and_then(|name| generator.definitions().get(&name).cloned()).unwrap_or_else(|| schema.to_value())
}

/// One content descriptor per parameter: in order for a struct; for a choice of several shapes, the
/// union of their fields.
fn descriptors(params: &Value, fields: &[&str]) -> Vec<Value> {
    let Some(shapes) = params.get("oneOf").and_then(Value::as_array) else {
        return fields.iter().map(|name| descriptor(name, params, required(params).contains(name))).collect();
    };
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for shape in shapes {
        let properties = shape.get("properties").and_then(Value::as_object);
        for name in properties.into_iter().flat_map(|properties| properties.keys()) {
            if !seen.insert(name.as_str()) {
                continue;
            }
            let always = shapes.iter().all(|shape| required(shape).contains(name.as_str()));
            out.push(if always {
                json!({ "name": name, "required": true, "schema": choices(shapes, name) })
            } else {
                descriptor(name, shape, false)
            });
        }
    }
    // What tells the shapes apart goes first.
    out.sort_by_key(|descriptor| descriptor["required"] != json!(true));
    out
}

fn required(shape: &Value) -> BTreeSet<&str> {
    let names = shape.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn descriptor(name: &str, shape: &Value, required: bool) -> Value {
    let schema = shape.pointer(&format!("/properties/{name}")).cloned().unwrap_or(Value::Bool(true));
    json!({ "name": name, "required": required, "schema": schema })
}

/// The constants that the shapes have in one field.
fn choices(shapes: &[Value], name: &str) -> Value {
    let pointer = format!("/properties/{name}/const");
    let values: Vec<_> = shapes.iter().filter_map(|shape| shape.pointer(&pointer)).collect();
    json!({ "type": "string", "enum": values })
}
