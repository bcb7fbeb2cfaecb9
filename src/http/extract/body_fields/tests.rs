use super::*;
use crate::domain::Role;

fn fields(json: &str) -> BodyFields {
    match Json::parse(json) {
        Ok(Json::Object(members)) => BodyFields::parse(members),
        other => panic!("{other:?}"),
    }
}

fn faults(fields: BodyFields) -> Vec<String> {
    let problem = fields.finish(Some(())).unwrap_err();
    problem.errors().iter().map(|error| error.field.clone()).collect()
}

#[test]
fn invalid_fields_are_all_named() {
    let mut fields = fields(r#"{"n": -1, "t": 5, "m": [], "f": "true"}"#);
    fields.integer("n", "", 0..=9);
    fields.name(&["t"], "", Ok::<_, String>);
    fields.metadata("m", "");
    fields.flag("f", "");
    fields.required_name(&["a", "b"], "", Ok::<_, String>);
    assert_eq!(faults(fields), ["n", "t", "m", "f", "a"]);
}

#[test]
fn repeated_fields_and_keys_are_refused() {
    let mut fields = fields(r#"{"a":1,"a":2,"m":{"x":{"y":1,"y":2}},"t":{"k":"v","k":"w"}}"#);
    fields.metadata("m", "");
    fields.attributes("t", "");
    assert_eq!(faults(fields), ["a", "m", "t"]);
}

#[test]
fn names_of_one_field_must_agree() {
    let read = |json| fields(json).name(&["a", "b"], "", Ok::<_, String>);
    assert_eq!(read(r#"{"b":"x"}"#), Some("x".to_owned()));
    assert_eq!(read(r#"{"a":"x","b":"x"}"#), Some("x".to_owned()));
    let mut contradiction = fields(r#"{"a":"x","b":"y"}"#);
    contradiction.name(&["a", "b"], "", Ok::<_, String>);
    assert_eq!(faults(contradiction), ["b"]);
}

#[test]
fn description_has_every_field_with_its_bounds() {
    let described = BodyFields::describe(|fields| {
        let name = fields.required_name(&["a", "b"], "A name.", Ok::<_, String>);
        fields.integer("n", "A number.", 1..=9);
        fields.choice::<Role>("role", "A role.", "must be a role");
        name
    });
    let schema = serde_json::to_value(described.build()).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.keys().collect::<Vec<_>>(), ["a", "b", "n", "role"]);
    assert_eq!(schema["anyOf"], json!([{"required": ["a"]}, {"required": ["b"]}]));
    assert_eq!((&properties["n"]["minimum"], &properties["n"]["maximum"]), (&json!(1), &json!(9)));
    assert_eq!(properties["role"]["oneOf"][0]["$ref"], "#/components/schemas/Role");
}
