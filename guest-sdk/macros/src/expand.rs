//! What `#[handler]` writes behind the function.
//!
//! On every target: a check of the types, whose error points at the function.
//! In the component: the export by `wit-bindgen`, and a record in the custom
//! section `qx:routes`, `<export>\t<event or pattern>\t<versions>\n`, from which
//! the host learns at load what the export takes. The records of all handlers of
//! a component stand in one section, one after the other.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Error, ItemFn};

use crate::args::Args;
use crate::signature;

/// The guest contract, from which the export's types come.
const CONTRACT: &str = include_str!("../../wit/events.wit");

/// The function with everything behind it, or with the error instead: the
/// function stays, so that one mistake is one message.
pub(crate) fn expand(attribute: TokenStream, item: &TokenStream) -> TokenStream {
    match checked(attribute, item.clone()) {
        Ok(behind) => quote! {
            #[allow(clippy::needless_pass_by_value, reason = "a handler is given its event")]
            #item
            #behind
        },
        Err(error) => {
            let error = error.into_compile_error();
            quote!(#item #error)
        }
    }
}

fn checked(attribute: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let function: ItemFn = syn::parse2(item).map_err(|error| {
        Error::new(
            error.span(),
            "#[handler] stands before a function of a module",
        )
    })?;
    let args: Args = syn::parse2(attribute)?;
    let export = signature::export_name(&function)?;
    let check = check(&function);
    let component = component(&function, &export, &args)?;
    Ok(quote!(#check #component))
}

/// Only types: nothing of it runs. Coercing to a pointer makes the compiler show
/// the expected signature beside the one it found.
fn check(function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    quote_spanned! { name.span() =>
        const _: fn() = || ::qx_guest::__private::check(#name);
    }
}

fn component(function: &ItemFn, export: &str, args: &Args) -> syn::Result<TokenStream> {
    let name = &function.sig.ident;
    let module = format_ident!("__qx_handler_{name}");
    let wit = Literal::string(&wit(export)?);
    let routes = routes(export, args);
    let bytes = Literal::byte_string(routes.as_bytes());
    let length = routes.len();
    Ok(quote! {
        #[cfg(target_arch = "wasm32")]
        #[doc(hidden)]
        #[allow(unsafe_code, warnings, clippy::all, clippy::pedantic, reason = "generated")]
        mod #module {
            ::qx_guest::__private::wit_bindgen::generate!({
                inline: #wit,
                path: [],
                runtime_path: "::qx_guest::__private::wit_bindgen::rt",
                with: { "qx:events/types@1.0.0": ::qx_guest::__private::types },
            });

            struct Export;

            impl Guest for Export {
                fn #name(
                    event: ::qx_guest::__private::types::Event,
                ) -> ::core::result::Result<(), ::qx_guest::__private::types::Failure> {
                    ::qx_guest::__private::serve(event, super::#name)
                }
            }

            export!(Export);

            #[unsafe(link_section = "qx:routes")]
            static ROUTES: [u8; #length] = *#bytes;
        }
    })
}

/// The world of one export. Worlds of several handlers are merged when the
/// component is encoded.
fn wit(export: &str) -> syn::Result<String> {
    const HEAD: &str = "package qx:events@1.0.0;";
    let Some((before, after)) = CONTRACT.split_once(HEAD) else {
        return Err(Error::new(
            proc_macro2::Span::call_site(),
            format!("the folder wit/ of qx-guest is damaged: `{HEAD}` is missing"),
        ));
    };
    Ok(format!(
        "package qx:handlers;

world {export}-export {{
    use qx:events/types@1.0.0.{{event, failure}};
    export %{export}: func(event: event) -> result<_, failure>;
}}

{before}package qx:events@1.0.0 {{
{after}
}}
"
    ))
}

fn routes(export: &str, args: &Args) -> String {
    let versions = args.versions.routes_text();
    let record = |event: &String| format!("{export}\t{event}\t{versions}\n");
    let records: Vec<String> = args.events.iter().map(record).collect();
    records.concat()
}

#[cfg(test)]
mod tests;
