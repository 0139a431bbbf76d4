//! What stands between the parentheses of `#[handler(…)]`.
//!
//! Every mistake is reported at the token that made it, with what would be right.

use proc_macro2::Span;
use syn::parse::{Parse, ParseBuffer, ParseStream};
use syn::{Error, Ident, LitInt, LitStr, Token, bracketed};

use crate::names;

/// The events that a handler takes.
#[derive(Debug)]
pub(crate) struct Args {
    /// Names and patterns, as written, each once.
    pub(crate) events: Vec<String>,
    /// Which versions of them.
    pub(crate) versions: Versions,
}

/// The versions of an event that a handler takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    /// Every version.
    Any,
    /// These, at least one.
    Only(Vec<u32>),
}

impl Versions {
    /// As the routes spell it: `*`, or numbers with commas.
    pub(crate) fn routes_text(&self) -> String {
        match self {
            Self::Any => "*".into(),
            Self::Only(own) => {
                let texts: Vec<String> = own.iter().map(u32::to_string).collect();
                texts.join(",")
            }
        }
    }
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut events = Vec::new();
        while input.peek(LitStr) {
            let literal: LitStr = input.parse()?;
            events.push(event(&literal, &events)?);
            if input.is_empty() {
                break;
            }
            input.parse::<Token![,]>()?;
        }
        if events.is_empty() {
            let example = "name at least one event, first: #[handler(\"order.placed\")]";
            return Err(Error::new(span_of(input), example));
        }
        let versions = if input.is_empty() {
            Versions::Only(vec![1])
        } else {
            versions(input)?
        };
        Ok(Self { events, versions })
    }
}

/// The next token's place, or the attribute itself where there is none.
fn span_of(input: ParseStream<'_>) -> Span {
    if input.is_empty() {
        Span::call_site()
    } else {
        input.span()
    }
}

fn event(literal: &LitStr, before: &[String]) -> syn::Result<String> {
    let text = literal.value();
    if !names::is_pattern(&text) {
        return Err(Error::new(
            literal.span(),
            format!(
                "`{text}` is neither an event name nor a pattern: use dot-separated tokens, `*` for one token, `>` for the rest and only at the end"
            ),
        ));
    }
    if before.contains(&text) {
        return Err(Error::new(
            literal.span(),
            format!("`{text}` is named twice"),
        ));
    }
    Ok(text)
}

fn versions(input: ParseStream<'_>) -> syn::Result<Versions> {
    const EXPECTED: &str =
        "expected `versions = [1, 2]` or `versions = any` after the names of the events";
    let key: Ident = input
        .parse()
        .map_err(|error| Error::new(error.span(), EXPECTED))?;
    if key != "versions" {
        return Err(Error::new(key.span(), EXPECTED));
    }
    input
        .parse::<Token![=]>()
        .map_err(|error| Error::new(error.span(), EXPECTED))?;
    let versions = if input.peek(syn::token::Bracket) {
        let list;
        bracketed!(list in input);
        numbers(&list)?
    } else {
        let word: Ident = input
            .parse()
            .map_err(|error| Error::new(error.span(), EXPECTED))?;
        if word != "any" {
            return Err(Error::new(word.span(), EXPECTED));
        }
        Versions::Any
    };
    input.parse::<Option<Token![,]>>()?;
    if !input.is_empty() {
        return Err(Error::new(
            input.span(),
            "nothing may follow the versions: the names of the events come first",
        ));
    }
    Ok(versions)
}

fn numbers(list: ParseStream<'_>) -> syn::Result<Versions> {
    let mut own = Vec::new();
    let span = list.span();
    for literal in list.parse_terminated(ParseBuffer::parse::<LitInt>, Token![,])? {
        let version: u32 = literal.base10_parse()?;
        if version == 0 || own.contains(&version) {
            return Err(Error::new(
                literal.span(),
                "versions count from 1, and each is named once",
            ));
        }
        own.push(version);
    }
    if own.is_empty() {
        return Err(Error::new(
            span,
            "name at least one version, or `versions = any`",
        ));
    }
    Ok(Versions::Only(own))
}
