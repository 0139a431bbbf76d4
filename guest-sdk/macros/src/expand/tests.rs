//! What an author gets from `#[handler]`: exports, routes, and answers to mistakes.

use super::*;

/// What the compiler would say, or what was written.
fn expanded(attribute: TokenStream, item: TokenStream) -> Result<String, String> {
    checked(attribute, item)
        .map(|tokens| tokens.to_string())
        .map_err(|error| error.to_string())
}

fn function() -> TokenStream {
    quote!(
        fn count_star(event: Event<Star>) -> Result<(), Failure> {
            Ok(())
        }
    )
}

fn routes_of(attribute: TokenStream) -> String {
    routes("count-star", &syn::parse2(attribute).unwrap())
}

#[test]
fn the_function_itself_is_left_as_it_was_written() {
    let all = expand(quote!("a.b"), &function()).to_string();
    assert!(all.contains(&function().to_string()), "{all}");
}

#[test]
fn each_event_is_one_line_of_the_routes() {
    assert_eq!(routes_of(quote!("a.b")), "count-star\ta.b\t1\n");
    assert_eq!(
        routes_of(quote!("a.b", "a.*", versions = [1, 2])),
        "count-star\ta.b\t1,2\ncount-star\ta.*\t1,2\n"
    );
    assert_eq!(
        routes_of(quote!("a.>", versions = any,)),
        "count-star\ta.>\t*\n"
    );
}

#[test]
fn the_world_of_a_handler_exports_its_name_in_kebab_case() {
    let wit = wit("count-star").unwrap();
    assert!(
        wit.contains("export %count-star: func(event: event) -> result<_, failure>;"),
        "{wit}"
    );
    assert!(wit.contains("package qx:events@1.0.0 {"), "{wit}");
}

#[test]
fn a_mistake_in_the_attribute_says_what_would_be_right() {
    let table = [
        (quote!(), "at least one event"),
        (quote!(versions = any), "at least one event"),
        (quote!("a..b"), "`a..b` is neither"),
        (quote!("a.>.b"), "only at the end"),
        (quote!("a.b", "a.b"), "named twice"),
        (quote!("a.b", version = 1), "expected `versions ="),
        (quote!("a.b", versions = 1), "expected `versions ="),
        (quote!("a.b", versions = all), "expected `versions ="),
        (quote!("a.b", versions = []), "at least one version"),
        (quote!("a.b", versions = [0]), "count from 1"),
        (quote!("a.b", versions = [1], "c.d"), "come first"),
    ];
    for (attribute, expected) in table {
        let shown = attribute.to_string();
        let error = expanded(attribute, function()).unwrap_err();
        assert!(error.contains(expected), "{shown}: {error}");
    }
}

#[test]
fn a_wrong_signature_is_answered_with_the_right_one() {
    let table = [
        (
            quote!(
                async fn a(event: Event<X>) -> Result<(), Failure> {}
            ),
            "not `async`",
        ),
        (
            quote!(
                unsafe fn a(event: Event<X>) -> Result<(), Failure> {}
            ),
            "not `unsafe`",
        ),
        (
            quote!(
                extern "C" fn a(event: Event<X>) -> Result<(), Failure> {}
            ),
            "not `extern`",
        ),
        (
            quote!(
                fn a<T>(event: Event<T>) -> Result<(), Failure> {}
            ),
            "not generic",
        ),
        (
            quote!(
                fn a() -> Result<(), Failure> {}
            ),
            "takes the event",
        ),
        (
            quote!(
                fn a(x: u8, y: u8) -> Result<(), Failure> {}
            ),
            "takes the event",
        ),
        (
            quote!(
                fn a(&self) -> Result<(), Failure> {}
            ),
            "takes the event",
        ),
        (
            quote!(
                fn a(event: Event<X>) {}
            ),
            "says how it went",
        ),
    ];
    for (item, expected) in table {
        let shown = item.to_string();
        let error = expanded(quote!("a.b"), item).unwrap_err();
        assert!(error.contains(expected), "{shown}: {error}");
        assert!(error.contains("fn name(event: Event<T>)"), "{error}");
    }
}

#[test]
fn only_a_function_can_be_a_handler() {
    let error = expanded(
        quote!("a.b"),
        quote!(
            struct X;
        ),
    )
    .unwrap_err();
    assert!(error.contains("before a function"), "{error}");
}
