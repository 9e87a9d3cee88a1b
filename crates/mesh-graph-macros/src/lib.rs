//! Derives for `mesh-graph`: sugar over its public traits.
//!
//! Everything a derive writes could be written by hand; it knows nothing of how graphs run.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{
    Attribute, Data, DeriveInput, Field, Fields, LitStr, Path, Token, Type, Visibility,
    parse_macro_input, spanned::Spanned,
};

/// Derives `mesh_graph::State`: a view struct, an update struct and the channel table.
///
/// For `struct Blog { topic: String, #[state(append)] done: Vec<Section> }` it writes
/// `BlogView` with a shared field per field, and `BlogUpdate` with `topic(..)`, `push_done(..)`,
/// `extend_done(..)` and `set_done(..)`; and `Blog::update()`.
///
/// Field attributes: `#[state(append | add | merge | reducer = path | rule = path | topic | any |
/// ephemeral | untracked)]` choose the channel's rule (default: last value); `topic(accumulate)` keeps what was
/// written, `topic` what was written in the last superstep. `remaining_steps` (a `u32`) and
/// `is_last_step` (a `bool`) are computed for each task and cannot be written. `input` and `output`
/// narrow the graph's input and output to the marked fields; `sensitive` keeps the field out of every
/// stream; `messages` says that it holds chat messages, for the `messages` stream;
/// `key = "sharedValue"` gives the key another name than the field.
///
/// `#[state(part_of = Blog)]` on the struct makes it a part of another state: nodes of a graph over
/// `Blog` may take a view of it and return its update. `#[state(version = 2, migrate = path)]`
/// counts the shapes of the state and names the function that brings stored values to this one.
#[proc_macro_derive(State, attributes(state))]
pub fn derive_state(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// How a channel takes writes.
enum Rule {
    LastValue,
    Append(Type),
    Add,
    Merge,
    Reducer(Path),
    Given(Path),
    Topic { item: Type, accumulate: bool },
    Any,
    Ephemeral,
    Untracked,
    RemainingSteps,
    IsLastStep,
}

impl Rule {
    fn managed(&self) -> bool {
        matches!(self, Self::RemainingSteps | Self::IsLastStep)
    }
}

struct Slot {
    name: Ident,
    key: String,
    docs: Vec<Attribute>,
    ty: Type,
    rule: Rule,
    input: bool,
    output: bool,
    sensitive: bool,
    messages: bool,
}

fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new(
            input.span(),
            "a graph state is a struct with named fields: each field becomes a channel",
        ));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(syn::Error::new(
            data.fields.span(),
            "a graph state needs named fields: the names are its keys",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(syn::Error::new(
            input.generics.span(),
            "a graph state cannot be generic: its values have to be stored and read back",
        ));
    }
    let slots = fields.named.iter().map(slot).collect::<syn::Result<Vec<_>>>()?;
    let Words { whole, version, migrate } = words(input)?;
    let narrow_input = slots.iter().any(|slot| slot.input);
    let narrow_output = slots.iter().any(|slot| slot.output);

    let state = &input.ident;
    let vis = &input.vis;
    let view = view(state, vis, &slots);
    let update = update(state, vis, &slots, whole.is_some());
    let channels = slots.iter().map(|slot| {
        let channel = channel(slot);
        let shown = !slot.rule.managed();
        let input = shown && (slot.input || !narrow_input);
        let output = shown && (slot.output || !narrow_output);
        let sensitive = slot.sensitive.then(|| quote! { .sensitive() });
        let messages = slot.messages.then(|| quote! { .of_messages() });
        quote! { #channel.visible(#input, #output) #sensitive #messages }
    });
    let versioned = version.map(|version| {
        let migrate = migrate.map_or_else(
            || quote! { ::core::option::Option::None },
            |path| quote! { ::core::option::Option::Some(#path) },
        );
        quote! { .versioned(#version, #migrate) }
    });
    let view_name = format_ident!("{state}View");
    let update_name = format_ident!("{state}Update");
    let (names, indices): (Vec<_>, Vec<_>) =
        slots.iter().enumerate().map(|(index, slot)| (&slot.name, index)).unzip();
    let part = whole.map(|whole| {
        quote! {
            impl ::mesh_graph::Part<#whole> for #state {}

            impl ::mesh_graph::IntoStep<#whole> for #update_name {
                fn into_step(self) -> ::mesh_graph::Step<#whole> {
                    ::mesh_graph::Step::none().and_part::<#state>(self)
                }
            }
        }
    });
    Ok(quote! {
        #part
        #view
        #update

        impl #state {
            /// An empty update, to be filled by its methods.
            #vis fn update() -> #update_name {
                <#update_name as ::core::default::Default>::default()
            }
        }

        impl ::mesh_graph::State for #state {
            type View = #view_name;
            type Update = #update_name;

            fn schema() -> ::mesh_graph::channel::Schema {
                ::mesh_graph::channel::Schema::new(::std::vec![#(#channels),*]) #versioned
            }

            fn view(reader: &::mesh_graph::Reader<'_>) -> Self::View {
                #view_name { #(#names: reader.field(#indices)),* }
            }
        }

        impl ::mesh_graph::Part<#state> for #state {}

        // The struct stands for its channels; nobody has to build or read one.
        const _: () = {
            #[allow(dead_code, reason = "it is here to be compiled, not to be called")]
            fn fields_are_in_use(state: &#state) {
                #(let _ = &state.#names;)*
            }
        };

        impl ::mesh_graph::IntoStep<#state> for #update_name {
            fn into_step(self) -> ::mesh_graph::Step<#state> {
                ::mesh_graph::Step::update(self)
            }
        }
    })
}

/// What `#[state(…)]` on the struct says.
#[derive(Default)]
struct Words {
    /// The state that this one is a part of.
    whole: Option<Path>,
    version: Option<syn::LitInt>,
    migrate: Option<Path>,
}

fn words(input: &DeriveInput) -> syn::Result<Words> {
    let mut words = Words::default();
    for attr in input.attrs.iter().filter(|attr| attr.path().is_ident("state")) {
        attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("part_of") {
                words.whole = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("version") {
                let version: syn::LitInt = meta.value()?.parse()?;
                if version.base10_parse::<u32>()? == 0 {
                    return Err(syn::Error::new(version.span(), "versions count from 1"));
                }
                words.version = Some(version);
            } else if meta.path.is_ident("migrate") {
                words.migrate = Some(meta.value()?.parse()?);
            } else {
                return Err(meta.error(
                    "expected part_of = State, version = number or migrate = function; other \
                     words go on the fields",
                ));
            }
            Ok(())
        })?;
    }
    if let (Some(migrate), None) = (&words.migrate, &words.version) {
        return Err(syn::Error::new(
            migrate.span(),
            "`migrate` needs a `version` to bring values to: `#[state(version = 2, migrate = …)]`",
        ));
    }
    Ok(words)
}

fn slot(field: &Field) -> syn::Result<Slot> {
    let Some(name) = field.ident.clone() else {
        return Err(syn::Error::new(field.span(), "a state field needs a name"));
    };
    let mut slot = Slot {
        key: name.to_string().trim_start_matches("r#").to_owned(),
        docs: field.attrs.iter().filter(|attr| attr.path().is_ident("doc")).cloned().collect(),
        ty: field.ty.clone(),
        rule: Rule::LastValue,
        input: false,
        output: false,
        sensitive: false,
        messages: false,
        name,
    };
    for attr in field.attrs.iter().filter(|attr| attr.path().is_ident("state")) {
        attr.parse_nested_meta(|meta| {
            let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            let rule = match word.as_str() {
                "input" => {
                    slot.input = true;
                    return Ok(());
                }
                "output" => {
                    slot.output = true;
                    return Ok(());
                }
                "sensitive" => {
                    slot.sensitive = true;
                    return Ok(());
                }
                "messages" => {
                    slot.messages = true;
                    return Ok(());
                }
                "key" => {
                    let key: LitStr = meta.value()?.parse()?;
                    slot.key = key.value();
                    // A bar marks what the engine itself keeps among the values of a checkpoint.
                    let refused = slot.key.is_empty() || slot.key.starts_with('|');
                    if refused || slot.key == "__interrupt__" {
                        return Err(syn::Error::new(
                            key.span(),
                            "this cannot be the name of a key",
                        ));
                    }
                    return Ok(());
                }
                "append" => Rule::Append(list_item(&field.ty).ok_or_else(|| {
                    syn::Error::new(field.ty.span(), "`append` needs a field of type `Vec<…>`")
                })?),
                "add" => Rule::Add,
                "merge" => Rule::Merge,
                "topic" => {
                    let item = list_item(&field.ty).ok_or_else(|| {
                        syn::Error::new(field.ty.span(), "`topic` needs a field of type `Vec<…>`")
                    })?;
                    let mut accumulate = false;
                    if meta.input.peek(syn::token::Paren) {
                        meta.parse_nested_meta(|inner| {
                            accumulate = inner.path.is_ident("accumulate");
                            if accumulate {
                                Ok(())
                            } else {
                                Err(inner.error("expected accumulate"))
                            }
                        })?;
                    }
                    Rule::Topic { item, accumulate }
                }
                "remaining_steps" if is_type(&field.ty, "u32") => Rule::RemainingSteps,
                "is_last_step" if is_type(&field.ty, "bool") => Rule::IsLastStep,
                "remaining_steps" => {
                    return Err(syn::Error::new(
                        field.ty.span(),
                        "`remaining_steps` needs a field of type `u32`",
                    ));
                }
                "is_last_step" => {
                    return Err(syn::Error::new(
                        field.ty.span(),
                        "`is_last_step` needs a field of type `bool`",
                    ));
                }
                "any" => Rule::Any,
                "ephemeral" => Rule::Ephemeral,
                "untracked" => Rule::Untracked,
                "reducer" => {
                    if !meta.input.peek(Token![=]) {
                        return Err(meta.error(
                            "`reducer` needs a function: `#[state(reducer = my_function)]` with \
                             `fn my_function(current: T, update: T) -> T`",
                        ));
                    }
                    Rule::Reducer(meta.value()?.parse()?)
                }
                "rule" => {
                    if !meta.input.peek(Token![=]) {
                        return Err(meta.error(
                            "`rule` needs a function: `#[state(rule = my_rule)]` with \
                             `fn my_rule() -> mesh_graph::channel::Rule`",
                        ));
                    }
                    Rule::Given(meta.value()?.parse()?)
                }
                _ => {
                    return Err(meta.error(
                        "expected append, add, merge, reducer = path, rule = path, topic, any, \
                         ephemeral, untracked, remaining_steps, is_last_step, input, output, \
                         sensitive, messages or key = \"name\"",
                    ));
                }
            };
            if !matches!(slot.rule, Rule::LastValue) {
                return Err(meta.error("a field takes one rule: it has one already"));
            }
            slot.rule = rule;
            Ok(())
        })?;
    }
    if slot.rule.managed() && (slot.input || slot.output) {
        return Err(syn::Error::new(
            field.span(),
            "this key is computed for each task: it can be neither input nor output",
        ));
    }
    Ok(slot)
}

/// The `T` of a `Vec<T>`.
fn list_item(ty: &Type) -> Option<Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    if last.ident != "Vec" {
        return None;
    }
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        syn::GenericArgument::Type(item) => Some(item.clone()),
        _ => None,
    }
}

fn is_string(ty: &Type) -> bool {
    is_type(ty, "String")
}

fn is_type(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.is_ident(name))
}

fn view(state: &Ident, vis: &Visibility, slots: &[Slot]) -> TokenStream {
    let name = format_ident!("{state}View");
    let doc = format!("A view of [`{state}`]: what its nodes read.");
    let fields = slots.iter().map(|slot| {
        let Slot { name, ty, docs, .. } = slot;
        let docs = if docs.is_empty() {
            let doc = format!("The state key `{}`.", slot.key);
            quote! { #[doc = #doc] }
        } else {
            quote! { #(#docs)* }
        };
        quote! { #docs pub #name: ::mesh_graph::Shared<#ty> }
    });
    quote! {
        #[doc = #doc]
        #[allow(dead_code, reason = "a graph need not read every key that its clients read")]
        #vis struct #name { #(#fields),* }
    }
}

fn update(state: &Ident, vis: &Visibility, slots: &[Slot], part: bool) -> TokenStream {
    let name = format_ident!("{state}Update");
    let doc = format!("An update of [`{state}`]: what its nodes return.");
    let methods = slots
        .iter()
        .enumerate()
        .filter(|(_, slot)| !slot.rule.managed())
        .map(|(index, slot)| methods(index, slot));
    let empty = if part {
        quote! { ::mesh_graph::Update::of_part::<#state>() }
    } else {
        quote! { ::mesh_graph::Update::default() }
    };
    quote! {
        impl ::core::default::Default for #name {
            fn default() -> Self {
                Self(#empty)
            }
        }

        #[doc = #doc]
        #[derive(Debug, Clone)]
        #[must_use = "an update does nothing until a node returns it"]
        #vis struct #name(::mesh_graph::Update);

        #[allow(dead_code, reason = "a graph need not write every key that its clients write")]
        impl #name { #(#methods)* }

        impl ::core::convert::From<#name> for ::mesh_graph::Update {
            fn from(update: #name) -> Self {
                update.0
            }
        }

        impl ::core::convert::From<::mesh_graph::Update> for #name {
            fn from(update: ::mesh_graph::Update) -> Self {
                Self(update)
            }
        }
    }
}

fn methods(index: usize, slot: &Slot) -> TokenStream {
    let Slot { ty, key, .. } = slot;
    let bare = Ident::new(slot.name.to_string().trim_start_matches("r#"), Span::call_site());
    let set = format_ident!("set_{bare}");
    let set_doc = format!("Replaces `{key}`, whatever else is written to it in this superstep.");
    let overwrite = quote! {
        #[doc = #set_doc]
        pub fn #set(mut self, value: #ty) -> Self {
            self.0.overwrite(#index, value);
            self
        }
    };
    if let Rule::Append(item) | Rule::Topic { item, .. } = &slot.rule {
        let push = format_ident!("push_{bare}");
        let extend = format_ident!("extend_{bare}");
        let push_doc = format!("Appends one item to `{key}`.");
        let extend_doc = format!("Appends items to `{key}`.");
        let (given, value) = if is_string(item) {
            (quote! { impl ::core::convert::Into<#item> }, quote! { item.into() })
        } else {
            (quote! { #item }, quote! { item })
        };
        return quote! {
            #[doc = #push_doc]
            pub fn #push(mut self, item: #given) -> Self {
                self.0.extend::<#item>(#index, ::core::iter::once(#value));
                self
            }
            #[doc = #extend_doc]
            pub fn #extend(mut self, items: impl ::core::iter::IntoIterator<Item = #item>) -> Self {
                self.0.extend::<#item>(#index, items);
                self
            }
            #overwrite
        };
    }
    let method = &slot.name;
    let (given, value) = if is_string(ty) || matches!(slot.rule, Rule::Given(_)) {
        (quote! { impl ::core::convert::Into<#ty> }, quote! { value.into() })
    } else {
        (quote! { #ty }, quote! { value })
    };
    let doc = format!("Writes `{key}`.");
    let write = quote! {
        #[doc = #doc]
        pub fn #method(mut self, value: #given) -> Self {
            let value: #ty = #value;
            self.0.write(#index, value);
            self
        }
    };
    match slot.rule {
        Rule::Add | Rule::Merge | Rule::Reducer(_) | Rule::Given(_) => quote! { #write #overwrite },
        _ => write,
    }
}

fn channel(slot: &Slot) -> TokenStream {
    let Slot { ty, key, .. } = slot;
    let reduce = |reducer: TokenStream| {
        quote! { ::mesh_graph::channel::Rule::Reduce(::mesh_graph::reducer::#reducer) }
    };
    let managed = |what: &TokenStream| {
        quote! {
            ::mesh_graph::channel::Rule::Managed(::mesh_graph::channel::Managed::#what)
        }
    };
    let rule = match &slot.rule {
        Rule::LastValue => quote! { ::mesh_graph::channel::Rule::LastValue },
        Rule::Any => quote! { ::mesh_graph::channel::Rule::AnyValue },
        Rule::Ephemeral => quote! { ::mesh_graph::channel::Rule::Ephemeral { guarded: true } },
        Rule::Untracked => quote! { ::mesh_graph::channel::Rule::Untracked { guarded: true } },
        Rule::Append(item) => reduce(quote! { append::<#item>() }),
        Rule::Topic { item, accumulate } => quote! {
            ::mesh_graph::channel::Rule::Topic {
                accumulate: #accumulate,
                append: ::mesh_graph::reducer::append::<#item>(),
            }
        },
        Rule::RemainingSteps => managed(&quote! { RemainingSteps }),
        Rule::IsLastStep => managed(&quote! { IsLastStep }),
        Rule::Add => reduce(quote! { add::<#ty>() }),
        Rule::Merge => reduce(quote! { merge::<#ty>() }),
        Rule::Reducer(path) => reduce(quote_spanned! { path.span() => custom::<#ty, _>(#path) }),
        Rule::Given(path) => quote! { #path() },
    };
    quote! { ::mesh_graph::channel::Channel::new::<#ty>(#key, #rule) }
}
