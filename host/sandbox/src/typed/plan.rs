//! The plan of a type: how its values are read from JSON. Made at load from the
//! component's own type; a type that has no form in JSON has no plan.

use wasmtime::component::{Type, types};

use super::spelling::{Ambiguous, Names};

/// Parts of one payload's type, written out. Types are a graph, and a stranger's can
/// be endless when they are followed.
pub(crate) const NODES_MAX: usize = 10_000;

/// Deepest nesting of a payload's type: reading one recurses as deep.
pub(crate) const DEPTH_MAX: usize = 64;

/// How a value is read.
#[derive(Debug)]
pub(crate) enum Plan {
    Bool,
    Int(Int),
    F32,
    F64,
    Char,
    String,
    Option(Box<Plan>),
    List(Box<Plan>),
    /// A list of exactly so many.
    Fixed(Box<Plan>, u32),
    Tuple(Vec<Plan>),
    Record(Record),
    Variant(Variant),
    Enum(Names),
    Flags(Names),
}

/// The integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Int {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
}

impl Int {
    /// The smallest and the largest.
    pub(crate) const fn range(self) -> (i128, i128) {
        match self {
            Self::S8 => (i8::MIN as i128, i8::MAX as i128),
            Self::U8 => (0, u8::MAX as i128),
            Self::S16 => (i16::MIN as i128, i16::MAX as i128),
            Self::U16 => (0, u16::MAX as i128),
            Self::S32 => (i32::MIN as i128, i32::MAX as i128),
            Self::U32 => (0, u32::MAX as i128),
            Self::S64 => (i64::MIN as i128, i64::MAX as i128),
            Self::U64 => (0, u64::MAX as i128),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) names: Names,
    pub(crate) fields: Vec<Plan>,
}

#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) names: Names,
    /// `None` for a case that carries nothing.
    pub(crate) cases: Vec<Option<Plan>>,
}

/// A type that has no plan: where in it, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    path: Vec<String>,
    why: String,
}

impl Unfit {
    fn new(why: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            why: why.into(),
        }
    }

    fn below(mut self, name: &str) -> Self {
        // A stranger's names, and as deep as the bound.
        self.path.push(name.chars().take(80).collect());
        self
    }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        if path.is_empty() {
            return f.write_str(&self.why);
        }
        write!(f, "`{}` {}", path.join("."), self.why)
    }
}

impl From<Ambiguous> for Unfit {
    fn from(clash: Ambiguous) -> Self {
        let [left, right] = &clash.names;
        Self::new(format!(
            "has `{left}` and `{right}`, and `{}` in JSON could be either: rename one of them",
            clash.spelling
        ))
    }
}

impl Plan {
    /// The plan of a type.
    pub(crate) fn of(ty: &Type) -> Result<Self, Unfit> {
        Planner { nodes: 0 }.plan(ty, 0)
    }
}

struct Planner {
    nodes: usize,
}

impl Planner {
    fn plan(&mut self, ty: &Type, depth: usize) -> Result<Plan, Unfit> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Unfit::new(format!(
                "makes the type larger than {NODES_MAX} parts when it is written out: take less of the payload"
            )));
        }
        if depth > DEPTH_MAX {
            return Err(Unfit::new(format!("is nested deeper than {DEPTH_MAX}")));
        }
        let depth = depth + 1;
        Ok(match ty {
            Type::Bool
            | Type::S8
            | Type::U8
            | Type::S16
            | Type::U16
            | Type::S32
            | Type::U32
            | Type::S64
            | Type::U64
            | Type::Float32
            | Type::Float64
            | Type::Char
            | Type::String => scalar(ty),
            Type::Option(option) => {
                let inner = self.plan(&option.ty(), depth)?;
                if matches!(inner, Plan::Option(_)) {
                    return Err(Unfit::new(
                        "is an option of an option, and JSON has one `null`: take one of them away",
                    ));
                }
                Plan::Option(Box::new(inner))
            }
            Type::List(list) => Plan::List(Box::new(self.item(&list.ty(), depth)?)),
            Type::FixedLengthList(list) => {
                Plan::Fixed(Box::new(self.item(&list.ty(), depth)?), list.len())
            }
            Type::Tuple(tuple) => Plan::Tuple(
                tuple
                    .types()
                    .map(|ty| self.item(&ty, depth))
                    .collect::<Result<_, _>>()?,
            ),
            Type::Record(record) => Plan::Record(self.record(record, depth)?),
            Type::Variant(variant) => Plan::Variant(self.variant(variant, depth)?),
            Type::Enum(names) => Plan::Enum(self.names(names.names())?),
            Type::Flags(names) => Plan::Flags(self.names(names.names())?),
            Type::Result(_) => {
                return Err(no_form("result", "an event is a fact: take a variant"));
            }
            Type::Map(_) => {
                return Err(no_form(
                    "map",
                    "take a list of records, or the generic event",
                ));
            }
            Type::Own(_) | Type::Borrow(_) => return Err(no_form("resource", "take its data")),
            Type::Future(_) | Type::Stream(_) => {
                return Err(no_form("future or stream", "take a list"));
            }
            Type::ErrorContext => return Err(no_form("error-context", "take a string")),
        })
    }

    fn record(&mut self, record: &types::Record, depth: usize) -> Result<Record, Unfit> {
        let names = record.fields().map(|field| field.name.to_owned());
        Ok(Record {
            names: Names::new(names.collect())?,
            fields: record
                .fields()
                .map(|field| self.named(field.name, &field.ty, depth))
                .collect::<Result<_, _>>()?,
        })
    }

    fn variant(&mut self, variant: &types::Variant, depth: usize) -> Result<Variant, Unfit> {
        let names = variant.cases().map(|case| case.name.to_owned());
        let names = Names::new(names.collect())?;
        let case = |(name, ty): (&str, Option<Type>)| {
            ty.map(|ty| self.named(name, &ty, depth)).transpose()
        };
        let cases = variant.cases().map(|own| (own.name, own.ty)).map(case);
        Ok(Variant {
            cases: cases.collect::<Result<_, _>>()?,
            names,
        })
    }

    fn item(&mut self, ty: &Type, depth: usize) -> Result<Plan, Unfit> {
        self.plan(ty, depth).map_err(|unfit| unfit.below("[]"))
    }

    fn named(&mut self, name: &str, ty: &Type, depth: usize) -> Result<Plan, Unfit> {
        self.plan(ty, depth).map_err(|unfit| unfit.below(name))
    }

    fn names<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<Names, Unfit> {
        let names: Vec<String> = names.map(ToOwned::to_owned).collect();
        self.nodes = self.nodes.saturating_add(names.len());
        Ok(Names::new(names)?)
    }
}

/// A type that has no others in it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only asked of those above, of which a text is the last"
)]
fn scalar(ty: &Type) -> Plan {
    match ty {
        Type::Bool => Plan::Bool,
        Type::S8 => Plan::Int(Int::S8),
        Type::U8 => Plan::Int(Int::U8),
        Type::S16 => Plan::Int(Int::S16),
        Type::U16 => Plan::Int(Int::U16),
        Type::S32 => Plan::Int(Int::S32),
        Type::U32 => Plan::Int(Int::U32),
        Type::S64 => Plan::Int(Int::S64),
        Type::U64 => Plan::Int(Int::U64),
        Type::Float32 => Plan::F32,
        Type::Float64 => Plan::F64,
        Type::Char => Plan::Char,
        _ => Plan::String,
    }
}

fn no_form(what: &str, instead: &str) -> Unfit {
    Unfit::new(format!("is a {what}, which has no form in JSON: {instead}"))
}
