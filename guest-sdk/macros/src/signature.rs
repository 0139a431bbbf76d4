//! What the macro can say about the function from its words alone; the types are
//! checked by the compiler, through code that `expand` writes.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, ReturnType};

/// The shape to follow, at the end of every message.
const EXPECTED: &str = "expected `fn name(event: Event<T>) -> Result<(), Failure>`";

/// Checks the function and gives the name of its export.
pub(crate) fn export_name(function: &ItemFn) -> syn::Result<String> {
    shape(function)?;
    kebab(&function.sig.ident.to_string()).map_err(|why| {
        Error::new(
            function.sig.ident.span(),
            format!("{why}: the export takes the function's name"),
        )
    })
}

fn shape(function: &ItemFn) -> syn::Result<()> {
    let signature = &function.sig;
    let not = |span: Span, what: &str| {
        Err(Error::new(
            span,
            format!("a handler is not {what}; {EXPECTED}"),
        ))
    };
    if let Some(token) = &signature.asyncness {
        return not(token.span(), "`async`: calls of the host just return");
    }
    if let Some(token) = &signature.unsafety {
        return not(token.span(), "`unsafe`");
    }
    if let Some(abi) = &signature.abi {
        return not(abi.span(), "`extern`: the macro writes the export");
    }
    if !signature.generics.params.is_empty() {
        return not(
            signature.generics.span(),
            "generic: name the payload's type",
        );
    }
    let takes_one = matches!(
        (signature.inputs.first(), signature.inputs.len()),
        (Some(FnArg::Typed(_)), 1)
    );
    if !takes_one {
        return Err(Error::new(
            signature.paren_token.span.join(),
            format!("a handler takes the event and nothing else; {EXPECTED}"),
        ));
    }
    if matches!(signature.output, ReturnType::Default) {
        return Err(Error::new(
            signature.paren_token.span.close(),
            format!("a handler says how it went; {EXPECTED}"),
        ));
    }
    Ok(())
}

/// `count_star` → `count-star`. What it lets pass is legal in WIT.
fn kebab(name: &str) -> Result<String, String> {
    if name.starts_with("r#") {
        return Err(format!("`{name}` is a keyword"));
    }
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if !name.split('_').all(word) {
        return Err(format!(
            "`{name}` has no kebab-case form: use words of lower-case letters and digits, each beginning with a letter, with single underscores between"
        ));
    }
    Ok(name.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_the_functions_name_in_kebab_case() {
        assert_eq!(kebab("count_star").unwrap(), "count-star");
        assert_eq!(kebab("on_v2").unwrap(), "on-v2");
    }

    #[test]
    fn a_name_that_wit_could_not_spell_is_refused() {
        for bad in [
            "_handle", "handle_", "a__b", "Handle", "v_2", "r#match", "größe",
        ] {
            assert!(kebab(bad).is_err(), "{bad}");
        }
    }
}
