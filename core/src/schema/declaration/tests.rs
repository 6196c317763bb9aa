//! What a schema file says, and how declarations are joined.

use super::*;

const FILE: &str = r#"{"tables": {"movies": {"softDelete": true, "pageSize": 100, "maxTop": 1000, "localOnly": false,
  "fields": {"title": "string", "year": "integer", "score": "number", "winner": "boolean", "released": "date", "at": "time",
             "code": {"type": "string", "required": true, "maxLength": 8, "unique": true}, "mood": {"enum": ["Calm", "Happy"], "default": "Calm"},
             "seen": "datetime", "blob": "bytes", "place": "geopoint", "extra": "json", "rating": {"enum": ["G", "PG", "R"]}},
  "indexes": [["year"], ["rating", "title"]],
  "merge": {"score": "max", "extra/tags": "set", "views": "counter", "*": "client"}}}}"#;

#[test]
fn the_documented_file_reads_and_writes_back() {
    let schema = Declarations::from_json(FILE).unwrap();
    assert_eq!(Declarations::from_json(&schema.to_json()).unwrap(), schema);
    let (_, table) = schema.tables().next().unwrap();
    assert_eq!(
        table.schema.fields.iter().next().unwrap(),
        ("title", &FieldType::String)
    );
}

#[test]
fn bad_declarations_are_refused() {
    for fields in [
        r#"{"ID":"string"}"#,
        r#"{"a":"string","A":"string"}"#,
        r#"{"__x":"string"}"#,
        r#"{"a":"text"}"#,
        r#"{"a":{"enum":[]}}"#,
        r#"{"a":{"type":"text"}}"#,
        r#"{"a":{"required":true}}"#,
        r#"{"a":{"type":"string","enum":["x"]}}"#,
        r#"{"a":{"type":"string","length":5}}"#,
        r#"{"a":{"type":"boolean","default":0}}"#,
        r#"{"a":{"enum":["G"],"default":"X"}}"#,
        r#"{"a":{"type":"integer","maxLength":5}}"#,
        r#"{"a":{"type":"string","maxLength":2,"default":"abc"}}"#,
        r#"{"a":{"type":"string","required":true,"default":" "}}"#,
        r#"{"a":{"type":"integer","unique":true,"default":0}}"#,
        r#"{"a":{"type":"json","unique":true}}"#,
    ] {
        let file = format!(r#"{{"tables":{{"t":{{"fields":{fields}}}}}}}"#);
        assert!(Declarations::from_json(&file).is_err(), "{fields}");
    }
    for rules in [
        r#"{"":"max"}"#,
        r#"{"version":"max"}"#,
        r#"{"a":"counter"}"#,
        r#"{"a":"set"}"#,
        r#"{"a":"sum"}"#,
        r#"{"a/b":"max"}"#,
    ] {
        let file = format!(r#"{{"tables":{{"t":{{"fields":{{"a":"string"}},"merge":{rules}}}}}}}"#);
        assert!(Declarations::from_json(&file).is_err(), "{rules}");
    }
    for indexes in ["[[]]", r#"[["nope"]]"#, r#"[["a","a"]]"#] {
        let file =
            format!(r#"{{"tables":{{"t":{{"fields":{{"a":"string"}},"indexes":{indexes}}}}}}}"#);
        assert!(Declarations::from_json(&file).is_err(), "{indexes}");
    }
}

#[test]
fn merging_adds_and_never_retypes() {
    let table = |schema| Declarations::new().with_table(TableName::new("t").unwrap(), schema);
    let old = table(Declaration::new().with_field("a", FieldType::String));
    let newer = table(
        Declaration::new()
            .with_field("b", FieldType::Integer)
            .with_index(["b"]),
    );
    let merged = old.merged(&newer).unwrap();
    assert_eq!(merged.tables().next().unwrap().1.schema.fields.len(), 2);
    let rule = |path: &str, rule| table(Declaration::new().with_merge(path, rule));
    let rules = rule("a", MergeRule::Max)
        .merged(&rule("b", MergeRule::Set))
        .and_then(|rules| rules.merged(&rule("a", MergeRule::Min)))
        .unwrap();
    let rules = &rules.tables().next().unwrap().1.device.merge;
    assert_eq!(rules.find("a"), Some(MergeRule::Min));
    assert_eq!(rules.find("b"), Some(MergeRule::Set));
    let with = |options| {
        let field = Declaration::new().with_field_options("a", FieldType::String, options);
        table(field)
    };
    let short = FieldOptions::new().with_max_length(5).with_default("x");
    let long = FieldOptions::new().with_default("y");
    let options = old
        .merged(&with(short.clone()))
        .and_then(|merged| merged.merged(&table(Declaration::new())));
    let (old_name, _) = old.tables().next().unwrap();
    let of_a = |schema: &Declarations| {
        let table = schema.table(old_name).unwrap();
        table.schema.fields.options("a").cloned().unwrap()
    };
    let kept = options.unwrap();
    assert_eq!(of_a(&kept), short);
    assert_eq!(of_a(&kept.merged(&with(long.clone())).unwrap()), long);
    let retyped = table(Declaration::new().with_field("a", FieldType::Integer));
    assert!(matches!(
        old.merged(&retyped),
        Err(SchemaError::Retyped { .. })
    ));
}

#[test]
fn the_stores_part_reads_what_catalogues_of_before_hold() {
    let written = r#"{"softDelete":true,"pageSize":5,"localOnly":true,"closed":true,"fields":{"n":"integer"},"indexes":[["n"]],
        "merge":{"n":"counter"}}"#;
    let whole: Declaration = serde_json::from_str(written).unwrap();
    let part: TableSchema = serde_json::from_str(written).unwrap();
    assert_eq!(part, whole.schema);
    let again = serde_json::to_string(&part).unwrap();
    assert_eq!(again, r#"{"fields":{"n":"integer"},"indexes":[["n"]]}"#);
    assert_eq!(serde_json::from_str::<TableSchema>(&again).unwrap(), part);
    assert!(serde_json::from_str::<TableSchema>(r#"{"feilds":{}}"#).is_err());
}
