//! Our server with declared members beside the typed one: what is sent to both is refused by both, or shown by both as the same,
//! and filters find the same.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use synctable_core::query::odata::percent_encode;
use synctable_core::sync::SyncContext;
use synctable_core::transport::TransportError;
use synctable_core::{Declaration, Declarations, FieldOptions, FieldType, TableName};
use synctable_http::{Dialect, Exchange, HttpTransport};
use synctable_memory::MemoryStore;
use synctable_server::TableServer;
use synctable_testkit::{for_all, run};
use synctable_typed_server::{Flavour, Kind, Model, TypedServer};

/// One request: the verb, the record, and its members by their number.
#[derive(Debug, Clone)]
struct Step {
    verb: &'static str,
    id: &'static str,
    members: Vec<(usize, Value)>,
}

#[derive(Debug, Clone)]
struct Case {
    flavour: Flavour,
    kinds: Vec<Kind>,
    steps: Vec<Step>,
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let kind = prop_oneof![
        Just(Kind::Bool),
        Just(Kind::Int32),
        Just(Kind::Int64),
        Just(Kind::of(&["Calm", "Happy"])),
        (any::<bool>(), prop::option::of(1..4_usize))
            .prop_map(|(required, most)| Kind::Text { most, required }),
    ];
    prop::collection::vec(kind, 1..5)
}

/// A value that the class can read, its default among them.
fn value(kind: &Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Int32 | Kind::Int64 => (0..3).prop_map(Value::from).boxed(),
        Kind::Enum(words) => select(words.clone()).prop_map(Value::from).boxed(),
        _ => {
            let texts = vec!["", " ", "a", "äö", "😀😀", "abc", "abcd"];
            let null = Just(Value::Null);
            prop_oneof![1 => null, 6 => select(texts).prop_map(Value::from)].boxed()
        }
    }
}

fn case() -> impl Strategy<Value = Case> {
    let flavour = select(&Flavour::ALL[..]);
    (flavour, kinds()).prop_flat_map(|(flavour, kinds)| {
        let verbs: &[&str] = match flavour {
            Flavour::Toolkit => &["POST", "POST", "PUT"],
            Flavour::Zumo3 => &["POST", "POST", "PUT", "PATCH"],
        };
        let members: Vec<_> = kinds
            .iter()
            .map(|kind| prop::option::of(value(kind)))
            .collect();
        let step = (select(verbs), select(&["a", "b", "c"][..]), members);
        let step = step.prop_map(|(verb, id, values)| Step {
            verb,
            id,
            members: values
                .into_iter()
                .enumerate()
                .filter_map(|(number, value)| Some((number, value?)))
                .collect(),
        });
        let steps = prop::collection::vec(step, 1..12);
        (Just(flavour), Just(kinds), steps).prop_map(|(flavour, kinds, steps)| Case {
            flavour,
            kinds,
            steps,
        })
    })
}

fn name(number: usize) -> String {
    format!("m{number}")
}

fn model(kinds: &[Kind]) -> Model {
    let members = kinds.iter().enumerate();
    members.fold(Model::new("Memo"), |model, (number, kind)| {
        model.with(&name(number), kind.clone())
    })
}

/// The same as our server is told it.
fn schema(kinds: &[Kind]) -> Declaration {
    let members = kinds.iter().enumerate();
    members.fold(
        Declaration::new().with_soft_delete(),
        |schema, (number, kind)| {
            let options = FieldOptions::new();
            let (ty, options) = match kind {
                Kind::Bool => (FieldType::Boolean, options.with_default(false)),
                Kind::Int32 | Kind::Int64 => (FieldType::Integer, options.with_default(0)),
                Kind::Enum(words) => {
                    let first = words[0].as_str();
                    (FieldType::Enum(words.clone()), options.with_default(first))
                }
                Kind::Text { most, required } => {
                    let options = match most {
                        Some(most) => options.with_max_length(u32::try_from(*most).unwrap()),
                        None => options,
                    };
                    let options = if *required {
                        options.with_required()
                    } else {
                        options
                    };
                    (FieldType::String, options)
                }
                other => unreachable!("{other:?}"),
            };
            schema.with_field_options(name(number), ty, options)
        },
    )
}

fn request(flavour: Flavour, verb: &str, target: &str, body: &str) -> Request<Bytes> {
    let mut request = Request::builder()
        .method(verb)
        .uri(format!("http://typed.test{target}"))
        .header("content-type", "application/json");
    if flavour == Flavour::Zumo3 {
        request = request
            .header("zumo-api-version", "3.0.0")
            .header("x-zumo-version", "x");
    }
    request.body(Bytes::from(body.to_owned())).unwrap()
}

/// The declared members that an answer shows; nothing is `null`.
fn shown(kinds: &[Kind], row: &Value) -> Map<String, Value> {
    let names = (0..kinds.len()).map(name);
    names
        .map(|name| (name.clone(), row[&name].clone()))
        .collect()
}

/// The members that an answer finds fault with, as they are declared.
fn faults(body: &Value) -> Vec<String> {
    let mut members: Vec<String> = match body {
        Value::Array(results) => results
            .iter()
            .map(|result| result["memberNames"][0].as_str().unwrap().to_lowercase())
            .collect(),
        problem => {
            let errors = problem["errors"].as_object().unwrap();
            errors.keys().map(|member| member.to_lowercase()).collect()
        }
    };
    members.sort();
    members
}

fn parsed(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or_default()
}

async fn ours(kinds: &[Kind]) -> TableServer {
    TableServer::builder(Arc::new(MemoryStore::new()))
        .host("typed.test".parse().unwrap())
        .table(TableName::new("memos").unwrap(), schema(kinds))
        .build()
        .await
        .unwrap()
}

/// Asks both and compares what they say.
async fn step(
    case: &Case,
    theirs: &TypedServer,
    ours: &TableServer,
    step: &Step,
) -> Result<(), String> {
    let Case { flavour, kinds, .. } = case;
    let members = step
        .members
        .iter()
        .map(|(number, value)| (name(*number), value.clone()));
    let mut members: Map<String, Value> = members.collect();
    members.insert("id".to_owned(), json!(step.id));
    let body = Value::from(members).to_string();
    let target = match step.verb {
        "POST" => "/tables/memos".to_owned(),
        _ => format!("/tables/memos/{}", step.id),
    };
    if step.verb != "POST" && theirs.row("memos", step.id).is_none() {
        return Ok(());
    }
    let there = theirs.handle(&request(*flavour, step.verb, &target, &body));
    let here = ours
        .handle(request(*flavour, step.verb, &target, &body))
        .await;
    let told = format!(
        "{} {target} {body}: {:?}, here {:?}",
        step.verb,
        there.body(),
        here.body()
    );
    if there.status() != here.status() {
        return Err(told);
    }
    let (there, here) = (parsed(&there), parsed(&here));
    let same = if here.get("id").is_some() {
        shown(kinds, &there) == shown(kinds, &here)
    } else {
        faults(&there) == faults(&here)
    };
    if same { Ok(()) } else { Err(told) }
}

/// Compares what filters for each member's default find.
async fn filters(case: &Case, theirs: &TypedServer, ours: &TableServer) -> Result<(), String> {
    let Case { flavour, kinds, .. } = case;
    for (number, kind) in kinds.iter().enumerate() {
        let name = name(number);
        let filter = match kind {
            Kind::Bool => format!("{name} eq false"),
            Kind::Int32 | Kind::Int64 => format!("{name} lt 1"),
            Kind::Enum(_) => format!("{name} eq 'Calm'"),
            _ => format!("{name} eq null"),
        };
        let target = format!(
            "/tables/memos?$orderby=id&$filter={}",
            percent_encode(&filter)
        );
        let there = theirs.handle(&request(*flavour, "GET", &target, ""));
        let here = ours.handle(request(*flavour, "GET", &target, "")).await;
        let ids = |answer: &Response<Bytes>| -> Vec<Value> {
            let rows = parsed(answer)["items"].as_array().cloned();
            rows.unwrap_or_default()
                .iter()
                .map(|row| row["id"].clone())
                .collect()
        };
        // That server compares the words of an enum in its own way.
        if there.status() == 200 && ids(&there) != ids(&here) {
            return Err(format!(
                "{filter}: {:?}, here {:?}",
                there.body(),
                here.body()
            ));
        }
    }
    Ok(())
}

#[test]
fn declared_members_behave_as_on_a_typed_server() {
    run(for_all(150, case(), async |case| {
        let theirs = TypedServer::new(case.flavour);
        theirs.declare("memos", model(&case.kinds));
        let ours = ours(&case.kinds).await;
        for each in &case.steps {
            step(&case, &theirs, &ours, each).await?;
        }
        filters(&case, &theirs, &ours).await
    }));
}

/// The genuine client of the Toolkit against its server, as it was recorded: it leaves out what holds its type's default.
#[test]
fn the_recorded_client_is_answered_with_the_same_members() {
    let kinds = [
        (
            "title",
            FieldType::String,
            FieldOptions::new().with_required(),
        ),
        (
            "complete",
            FieldType::Boolean,
            FieldOptions::new().with_default(false),
        ),
        (
            "rating",
            FieldType::Integer,
            FieldOptions::new().with_default(0),
        ),
        ("code", FieldType::String, FieldOptions::new().with_unique()),
    ];
    let table = kinds.into_iter().fold(
        Declaration::new().with_soft_delete().with_closed(),
        |table, (name, ty, options)| table.with_field_options(name, ty, options),
    );
    run(async {
        let server = TableServer::builder(Arc::new(MemoryStore::new()))
            .host("typed.test".parse().unwrap())
            .table(TableName::new("tasks").unwrap(), table)
            .build()
            .await
            .unwrap();
        let ask = async |verb: &str, target: &str, body: &str| {
            let answer = server
                .handle(request(Flavour::Toolkit, verb, target, body))
                .await;
            assert!(answer.status().is_success(), "{answer:?}");
            parsed(&answer)
        };
        for (verb, body, members) in [
            (
                "POST",
                r#"{"title":"\u00C4rger \uD83D\uDE00 \u0022q\u0022 \u003Cb\u003E","rating":3,"id":"t1"}"#,
                json!({"title": "Ärger 😀 \"q\" <b>", "complete": false, "rating": 3}),
            ),
            (
                "PUT",
                r#"{"title":"edited","rating":5,"id":"t1","updatedAt":"2026-11-28T20:03:24.674Z","version":"Sa1YtRdU/U6eZX1rz6TknA=="}"#,
                json!({"title": "edited", "complete": false, "rating": 5}),
            ),
            (
                "PUT",
                r#"{"title":"done","complete":true,"id":"t1"}"#,
                json!({"title": "done", "complete": true, "rating": 0}),
            ),
            (
                "PUT",
                r#"{"title":"again","rating":3,"id":"t1"}"#,
                json!({"title": "again", "complete": false, "rating": 3}),
            ),
        ] {
            let target = if verb == "POST" {
                "/tables/tasks"
            } else {
                "/tables/tasks/t1"
            };
            let row = ask(verb, target, body).await;
            for (name, value) in members.as_object().unwrap() {
                assert_eq!(&row[name], value, "{verb} {body}");
            }
        }
        for filter in ["complete eq false", "rating lt 5"] {
            let target = format!("/tables/tasks?$filter={}", percent_encode(filter));
            let page = ask("GET", &target, "").await;
            assert_eq!(page["items"][0]["id"], "t1", "{filter}");
        }
    });
}

/// Our server as what the HTTP transport sends its requests over.
#[derive(Debug)]
struct Ours(TableServer);

#[async_trait]
impl Exchange for Ours {
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        Ok(self.0.handle(request).await)
    }
}

/// What the server refuses waits for the user with the member and the words, in every dialect; it is no conflict.
#[test]
fn refused_members_are_told_on_the_device() {
    let field = |name: &str, options| {
        Declaration::new().with_field_options(name, FieldType::String, options)
    };
    let code = || field("code", FieldOptions::new().with_unique());
    let title = || field("title", FieldOptions::new().with_required());
    for dialect in [Dialect::Toolkit, Dialect::Zumo2, Dialect::Zumo3] {
        for (table, record, words) in [
            (
                code(),
                json!({"id": "b", "code": "x"}),
                "The value of the code field is taken by another record.",
            ),
            (
                title(),
                json!({"id": "b", "code": "x"}),
                "The title field is required.",
            ),
            (
                code().with_closed(),
                json!({"id": "b", "x": 1}),
                "The x field is not declared.",
            ),
        ] {
            run(async {
                let name = TableName::new("tasks").unwrap();
                let server = TableServer::builder(Arc::new(MemoryStore::new()))
                    .host("typed.test".parse().unwrap())
                    .host("ours.test".parse().unwrap())
                    .schema(Declarations::new().with_table(name, table))
                    .build()
                    .await
                    .unwrap();
                let first = r#"{"id":"a","code":"x","title":"t"}"#;
                server
                    .handle(request(Flavour::Toolkit, "POST", "/tables/tasks", first))
                    .await;
                let transport = HttpTransport::builder("http://ours.test")
                    .dialect(dialect)
                    .exchange(Arc::new(Ours(server)))
                    .build()
                    .unwrap();
                let context =
                    SyncContext::builder(Arc::new(MemoryStore::new())).transport(transport);
                let context = context.open().await.unwrap();
                let tasks = context.table::<Value>("tasks").unwrap();
                tasks.insert(&record).await.unwrap();
                let report = context.push().await.unwrap();
                assert_eq!(
                    (report.conflicts, report.rejected),
                    (0, 1),
                    "{dialect:?} {words}"
                );
                let parked = context.parked().await.unwrap().remove(0);
                assert_eq!(parked.status, Some(400));
                assert!(
                    parked.message.contains(words),
                    "{dialect:?}: {}",
                    parked.message
                );
            });
        }
    }
}
