//! What is expected of a value, for a person. Never: a value of the payload.

use super::plan::Plan;
use super::spelling::{Names, snake};

/// Names shown where one of them was expected.
const NAMES_SHOWN_MAX: usize = 12;

/// What is expected, for a person.
pub(super) fn described(plan: &Plan) -> String {
    match plan {
        Plan::Bool => "true or false".to_owned(),
        Plan::Int(int) => {
            let (min, max) = int.range();
            format!("a whole number from {min} to {max}")
        }
        Plan::F32 | Plan::F64 => "a number".to_owned(),
        Plan::Char => "a text of one character".to_owned(),
        Plan::String => "a text".to_owned(),
        Plan::Option(inner) => format!("{} or null", described(inner)),
        Plan::List(_) => "a list".to_owned(),
        Plan::Fixed(_, length) => format!("a list of {length}"),
        Plan::Tuple(plans) => format!("a list of {}", plans.len()),
        Plan::Record(_) => "an object".to_owned(),
        Plan::Enum(names) => one_of(names),
        Plan::Flags(names) => format!("a list of {}", one_of(names)),
        Plan::Variant(variant) => {
            let carries = |case: &Option<Plan>| case.is_some();
            if variant.cases.iter().any(carries) {
                format!(
                    "{}, as {{\"case\": value}} where it carries one",
                    one_of(&variant.names)
                )
            } else {
                one_of(&variant.names)
            }
        }
    }
}

/// Names as they are usually written, not too many of them.
pub(super) fn one_of(names: &Names) -> String {
    let mut all = names
        .all()
        .iter()
        .map(|name| format!("\"{}\"", snake(name)));
    let mut shown: Vec<String> = all.by_ref().take(NAMES_SHOWN_MAX).collect();
    match all.count() {
        0 => {}
        more => shown.push(format!("{more} more")),
    }
    shown.join(" | ")
}
