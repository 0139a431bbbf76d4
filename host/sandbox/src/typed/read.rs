//! Reads a payload by its plan: one pass over the text, no tree of JSON in between.
//!
//! What the plan does not name is passed over. A mismatch says where it is by the
//! payload's own keys, and never repeats a value: those are the tenant's.

mod parts;

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use wasmtime::component::Val;

use super::Mismatch;
use super::number::{Number, integer};
use super::plan::Plan;
use super::said::described;
use parts::case;

/// Values of one payload: each takes some 40 bytes, so a text of commas must not
/// become many times its size.
pub(crate) const VALUES_MAX: usize = 100_000;

/// Characters shown of a key of the payload.
const KEY_CHARS_MAX: usize = 80;

/// Reads the whole text.
pub(crate) fn read(plan: &Plan, json: &str) -> Result<Val, Mismatch> {
    let run = Run::default();
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let read = Reader::new(plan, &run).deserialize(&mut deserializer);
    let ended = read.and_then(|value| deserializer.end().map(|()| value));
    ended.map_err(|error| run.mismatch(&error))
}

/// One step from a value to one in it.
enum Step {
    Key(String),
    Index(usize),
}

/// What is known while a text is read.
#[derive(Default)]
struct Run {
    values: Cell<usize>,
    /// Where it went wrong, from the inside out.
    trail: RefCell<Vec<Step>>,
    /// What was wrong, where it was ours to say.
    what: RefCell<Option<String>>,
}

impl Run {
    fn wrong<E: Error>(&self, what: String) -> E {
        *self.what.borrow_mut() = Some(what);
        E::custom("")
    }

    fn at_key(&self, key: &str) {
        let key = key.chars().take(KEY_CHARS_MAX).collect();
        self.trail.borrow_mut().push(Step::Key(key));
    }

    fn at_index(&self, index: usize) {
        self.trail.borrow_mut().push(Step::Index(index));
    }

    fn mismatch(&self, error: &serde_json::Error) -> Mismatch {
        let mut path = String::new();
        for step in self.trail.borrow().iter().rev() {
            match step {
                Step::Index(index) => path.extend(["[", &index.to_string(), "]"]),
                Step::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
            }
        }
        let what = self.what.borrow_mut().take();
        Mismatch {
            path,
            what: what.unwrap_or_else(|| format!("is no JSON: {error}")),
        }
    }
}

/// Reads one value.
struct Reader<'a> {
    plan: &'a Plan,
    run: &'a Run,
    /// Whether `null` may stand for it.
    null: Null,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Null {
    IsNone,
    IsWrong,
}

impl<'a> Reader<'a> {
    /// For what `plan` says, which is no option itself or stands in one.
    const fn new(plan: &'a Plan, run: &'a Run) -> Self {
        Self {
            plan,
            run,
            null: Null::IsWrong,
        }
    }

    fn unexpected<E: Error>(&self, found: &str) -> E {
        let expected = described(self.plan);
        self.run
            .wrong(format!("expected {expected}, found {found}"))
    }

    fn number<E: Error>(&self, number: Number) -> Result<Val, E> {
        match self.plan {
            Plan::Int(int) => integer(*int, number).ok_or_else(|| match number {
                Number::Float(float) if float.fract() != 0.0 => {
                    self.unexpected("a number with a fraction")
                }
                Number::Negative(_) | Number::Positive(_) | Number::Float(_) => {
                    self.unexpected("a number that is none of them")
                }
            }),
            Plan::F64 => Ok(Val::Float64(number.as_f64())),
            Plan::F32 => {
                #[expect(clippy::cast_possible_truncation, reason = "what it rounds to")]
                let float = number.as_f64() as f32;
                if float.is_finite() {
                    Ok(Val::Float32(float))
                } else {
                    Err(self.unexpected("a number that is larger"))
                }
            }
            Plan::Bool
            | Plan::Char
            | Plan::String
            | Plan::Option(_)
            | Plan::List(_)
            | Plan::Fixed(..)
            | Plan::Tuple(_)
            | Plan::Record(_)
            | Plan::Variant(_)
            | Plan::Enum(_)
            | Plan::Flags(_) => Err(self.unexpected("a number")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Val;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Val, D::Error> {
        let values = self.run.values.get() + 1;
        self.run.values.set(values);
        if values > VALUES_MAX {
            let what = format!("the payload has more than {VALUES_MAX} values that are taken");
            return Err(self.run.wrong(what));
        }
        let Plan::Option(inner) = self.plan else {
            return deserializer.deserialize_any(self);
        };
        let value = deserializer.deserialize_any(Reader {
            null: Null::IsNone,
            ..Reader::new(inner, self.run)
        })?;
        // An option of an option has no plan, so this one is `null`.
        if matches!(value, Val::Option(_)) {
            return Ok(value);
        }
        Ok(Val::Option(Some(Box::new(value))))
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Val;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&described(self.plan))
    }

    fn visit_unit<E: Error>(self) -> Result<Val, E> {
        match self.null {
            Null::IsNone => Ok(Val::Option(None)),
            Null::IsWrong => Err(self.unexpected("null")),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Val, E> {
        let Plan::Bool = self.plan else {
            return Err(self.unexpected("true or false"));
        };
        Ok(Val::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Val, E> {
        self.number(Number::Negative(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Val, E> {
        self.number(Number::Positive(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Val, E> {
        self.number(Number::Float(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Val, E> {
        match self.plan {
            Plan::String => Ok(Val::String(text.to_owned())),
            Plan::Char => {
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(only), None) => Ok(Val::Char(only)),
                    (None, _) | (Some(_), Some(_)) => {
                        Err(self.unexpected("a text of another length"))
                    }
                }
            }
            Plan::Enum(names) => match names.find(text) {
                Some(index) => Ok(Val::Enum(names.name(index).to_owned())),
                None => Err(self.unexpected("another text")),
            },
            Plan::Variant(variant) => match case(variant, text) {
                Some((name, None)) => Ok(Val::Variant(name.to_owned(), None)),
                Some((_, Some(_))) => {
                    Err(self.unexpected("the name of a case that carries a value"))
                }
                None => Err(self.unexpected("another text")),
            },
            Plan::Bool
            | Plan::Int(_)
            | Plan::F32
            | Plan::F64
            | Plan::Option(_)
            | Plan::List(_)
            | Plan::Fixed(..)
            | Plan::Tuple(_)
            | Plan::Record(_)
            | Plan::Flags(_) => Err(self.unexpected("a text")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Val, A::Error> {
        match self.plan {
            Plan::List(plan) => self.list(items, std::iter::repeat(&**plan)).map(Val::List),
            Plan::Fixed(plan, length) => {
                let length = usize::try_from(*length).unwrap_or(usize::MAX);
                let each = std::iter::repeat_n(&**plan, length);
                self.exactly(items, each).map(Val::FixedLengthList)
            }
            Plan::Tuple(plans) => self.exactly(items, plans.iter()).map(Val::Tuple),
            Plan::Flags(names) => self.flags(items, names),
            Plan::Bool
            | Plan::Int(_)
            | Plan::F32
            | Plan::F64
            | Plan::Char
            | Plan::String
            | Plan::Option(_)
            | Plan::Record(_)
            | Plan::Variant(_)
            | Plan::Enum(_) => Err(self.unexpected("a list")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Val, A::Error> {
        if let Plan::Record(record) = self.plan {
            return self.record(members, record);
        }
        let Plan::Variant(variant) = self.plan else {
            return Err(self.unexpected("an object"));
        };
        self.variant(members, variant)
    }
}
