//! What a function looks like, in the notation of WIT, so that a person can lay
//! the expected signature beside the one that was found.
//!
//! Component types are structural, and the text contains every name of a field
//! and a case: two functions with the same text are the same to the caller.

use wasmtime::component::types::{ComponentFunc, Type};

use crate::typed::{Plan, Unfit};

/// The signature of the interface's function, which takes whatever event.
pub(crate) const INTERFACE: &str = "`func(event: event) -> result<_, failure>`";

/// The signatures that a handler can have.
pub(crate) const HANDLERS: &str = "`func(event: event) -> result<_, failure>`, or with a payload of \
its own type `func(payload: …) -> result<_, failure>` or \
`func(payload: …, context: context) -> result<_, failure>`";

/// `event` of `qx:events/types@1.0.0`, as it is written out.
const EVENT: &str = "record { id: string, name: string, version: u32, occurred-at: string, \
correlation-id: option<string>, causation-id: option<string>, tenant-id: option<string>, \
actor-id: option<string>, payload: string, traceparent: option<string>, \
tracestate: option<string>, attempt: u32 }";

/// `context` of `qx:events/types@1.0.0`, as it is written out.
const CONTEXT: &str = "record { id: string, name: string, version: u32, occurred-at: string, \
correlation-id: option<string>, causation-id: option<string>, tenant-id: option<string>, \
actor-id: option<string>, traceparent: option<string>, tracestate: option<string>, attempt: u32 }";

/// Fields by which a record is meant to be the contract's event, of whatever version.
const EVENT_LIKE: [&str; 3] = ["occurred-at", "payload", "attempt"];

/// `failure` of `qx:events/types@1.0.0`, as it is written out.
const FAILURE: &str =
    "variant { retry(record { reason: string, after: option<u64> }), reject(string) }";

/// Longest text: types are a graph, and written out they can be endless.
const TEXT_BYTES_MAX: usize = 2_000;

/// What a function takes, as far as the host can call it with an event.
#[derive(Debug)]
pub(crate) enum Signature {
    /// The generic event.
    Event,
    /// A payload of its own type.
    Payload(Plan),
    /// That, and the rest of the event beside it.
    PayloadAndContext(Plan),
    /// A payload of a type that has no form in JSON.
    Unfit(Unfit),
    /// It is no handler.
    Other,
}

/// What a function takes.
pub(crate) fn takes(function: &ComponentFunc) -> Signature {
    let mut results = function.results().map(|ty| text(&ty));
    let answers = match (results.next(), results.next()) {
        (Some(only), None) => only == format!("result<_, {FAILURE}>"),
        (None | Some(_), _) => false,
    };
    if function.async_() || !answers {
        return Signature::Other;
    }
    let params: Vec<Type> = function.params().map(|(_, ty)| ty).collect();
    let (payload, signature): (&Type, fn(Plan) -> Signature) = match params.as_slice() {
        [event] if text(event) == EVENT => return Signature::Event,
        [payload] => (payload, Signature::Payload),
        [payload, context] if text(context) == CONTEXT => (payload, Signature::PayloadAndContext),
        _ => return Signature::Other,
    };
    if is_event_like(payload) {
        return Signature::Other;
    }
    Plan::of(payload).map_or_else(Signature::Unfit, signature)
}

/// Another version's event, or a mistake in it: as a payload it would fit nothing.
fn is_event_like(ty: &Type) -> bool {
    let Type::Record(record) = ty else {
        return false;
    };
    let has = |name: &&str| record.fields().any(|field| field.name == *name);
    EVENT_LIKE.iter().all(has)
}

/// The function as its author wrote it, with `event` and `failure` by name.
pub(crate) fn describe(function: &ComponentFunc) -> String {
    let params: Vec<String> = function
        .params()
        .map(|(name, ty)| format!("{name}: {}", text(&ty)))
        .collect();
    let mut whole = format!("func({})", params.join(", "));
    if function.async_() {
        whole.insert_str(0, "async ");
    }
    for result in function.results() {
        whole.push_str(" -> ");
        whole.push_str(&text(&result));
    }
    let whole = whole
        .replace(EVENT, "event")
        .replace(CONTEXT, "context")
        .replace(FAILURE, "failure");
    if whole.len() > TEXT_BYTES_MAX {
        let short: String = whole.chars().take(TEXT_BYTES_MAX / 4).collect();
        return format!("{short}…");
    }
    whole
}

fn text(ty: &Type) -> String {
    let mut out = String::new();
    write_type(&mut out, ty);
    out
}

fn write_type(out: &mut String, ty: &Type) {
    if out.len() > TEXT_BYTES_MAX {
        return;
    }
    match ty {
        Type::Bool => out.push_str("bool"),
        Type::S8 => out.push_str("s8"),
        Type::U8 => out.push_str("u8"),
        Type::S16 => out.push_str("s16"),
        Type::U16 => out.push_str("u16"),
        Type::S32 => out.push_str("s32"),
        Type::U32 => out.push_str("u32"),
        Type::S64 => out.push_str("s64"),
        Type::U64 => out.push_str("u64"),
        Type::Float32 => out.push_str("f32"),
        Type::Float64 => out.push_str("f64"),
        Type::Char => out.push_str("char"),
        Type::String => out.push_str("string"),
        Type::ErrorContext => out.push_str("error-context"),
        Type::Own(_) => out.push_str("own<resource>"),
        Type::Borrow(_) => out.push_str("borrow<resource>"),
        Type::List(list) => generic(out, "list", &[Some(list.ty())]),
        Type::FixedLengthList(list) => {
            out.push_str("list<");
            write_type(out, &list.ty());
            push(out, &[", ", &list.len().to_string(), ">"]);
        }
        Type::Map(map) => generic(out, "map", &[Some(map.key()), Some(map.value())]),
        Type::Tuple(tuple) => {
            let types: Vec<Option<Type>> = tuple.types().map(Some).collect();
            generic(out, "tuple", &types);
        }
        Type::Option(option) => generic(out, "option", &[Some(option.ty())]),
        Type::Result(result) => write_result(out, result.ok(), result.err()),
        Type::Future(future) => generic(out, "future", &[future.ty()]),
        Type::Stream(stream) => generic(out, "stream", &[stream.ty()]),
        Type::Record(record) => {
            let fields = record.fields().map(|f| (f.name, Some(f.ty)));
            members(out, "record", fields, [": ", ""]);
        }
        Type::Variant(variant) => {
            let cases = variant.cases().map(|c| (c.name, c.ty));
            members(out, "variant", cases, ["(", ")"]);
        }
        Type::Enum(names) => members(out, "enum", names.names().map(|n| (n, None)), ["", ""]),
        Type::Flags(names) => members(out, "flags", names.names().map(|n| (n, None)), ["", ""]),
    }
}

/// `keyword { name, name: type, name(type) }`, as far as the text may grow.
fn members<'a>(
    out: &mut String,
    keyword: &str,
    members: impl Iterator<Item = (&'a str, Option<Type>)>,
    [before, after]: [&str; 2],
) {
    push(out, &[keyword, " {"]);
    for (index, (name, ty)) in members.enumerate() {
        if out.len() > TEXT_BYTES_MAX {
            return;
        }
        push(out, &[if index == 0 { " " } else { ", " }, name]);
        if let Some(ty) = ty {
            out.push_str(before);
            write_type(out, &ty);
            out.push_str(after);
        }
    }
    out.push_str(" }");
}

/// `keyword<type, type>`; without a type only the keyword.
fn generic(out: &mut String, keyword: &str, types: &[Option<Type>]) {
    out.push_str(keyword);
    let mut types = types.iter().flatten().peekable();
    if types.peek().is_none() {
        return;
    }
    out.push('<');
    for (index, ty) in types.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_type(out, ty);
    }
    out.push('>');
}

fn write_result(out: &mut String, ok: Option<Type>, err: Option<Type>) {
    out.push_str("result");
    match (ok, err) {
        (None, None) => {}
        (Some(ok), None) => {
            out.push('<');
            write_type(out, &ok);
            out.push('>');
        }
        (ok, Some(err)) => {
            out.push('<');
            match ok {
                Some(ok) => write_type(out, &ok),
                None => out.push('_'),
            }
            out.push_str(", ");
            write_type(out, &err);
            out.push('>');
        }
    }
}

fn push(out: &mut String, pieces: &[&str]) {
    for piece in pieces {
        out.push_str(piece);
    }
}
