//! An operation: a method and a path, who handles it, and how it is described.

use std::sync::Arc;

use axum::{
    handler::Handler,
    http::Method,
    routing::{self, MethodRouter},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value as Json, json};

use crate::{idempotency::Again, server::Shared};

/// A group of operations, as readers of the document see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tag {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
}

/// Gives the schema of a type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What can be asked of the server at one path with one method.
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// With parameters in braces.
    pub(crate) path: &'static str,
    pub(crate) handler: MethodRouter<Arc<Shared>>,
    /// A name for programs, such as `create_assistant`.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    /// Parameters of the query, as OpenAPI has them.
    pub(crate) query: Vec<Json>,
    pub(crate) body: Option<SchemaOf>,
    pub(crate) answers: Vec<Answer>,
    /// Statuses with which it is refused, and when.
    pub(crate) refusals: Vec<(u16, &'static str)>,
    /// Makes the answer of a request again that came before under the same idempotency key; for
    /// what makes something.
    pub(crate) again: Option<Again>,
    /// Asked without a credential.
    pub(crate) open: bool,
    /// Only there on a server that is for development.
    pub(crate) development: bool,
}

/// An answer of an operation that did what it was asked.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) description: &'static str,
    /// Types and schemas that its body can have; none for one without a body.
    pub(crate) body: Vec<(&'static str, SchemaOf)>,
    /// Names of headers that it has, and what they say.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

/// The type of JSON.
pub(crate) const JSON: &str = "application/json";

impl Operation {
    fn new<H: Handler<T, Arc<Shared>>, T: 'static>(
        method: Method,
        path: &'static str,
        id: &'static str,
        handle: fn(H) -> MethodRouter<Arc<Shared>>,
        handler: H,
    ) -> Self {
        Self {
            method,
            path,
            handler: handle(handler),
            id,
            summary: "",
            description: "",
            query: Vec::new(),
            body: None,
            answers: Vec::new(),
            refusals: Vec::new(),
            again: None,
            open: false,
            development: false,
        }
    }

    /// An operation that reads.
    pub(crate) fn get<H: Handler<T, Arc<Shared>>, T: 'static>(
        path: &'static str,
        id: &'static str,
        handler: H,
    ) -> Self {
        Self::new(Method::GET, path, id, routing::get, handler)
    }

    /// An operation that makes something, or asks with a body.
    pub(crate) fn post<H: Handler<T, Arc<Shared>>, T: 'static>(
        path: &'static str,
        id: &'static str,
        handler: H,
    ) -> Self {
        Self::new(Method::POST, path, id, routing::post, handler)
    }

    /// An operation that writes something as it is given.
    pub(crate) fn put<H: Handler<T, Arc<Shared>>, T: 'static>(
        path: &'static str,
        id: &'static str,
        handler: H,
    ) -> Self {
        Self::new(Method::PUT, path, id, routing::put, handler)
    }

    /// An operation that changes something.
    pub(crate) fn patch<H: Handler<T, Arc<Shared>>, T: 'static>(
        path: &'static str,
        id: &'static str,
        handler: H,
    ) -> Self {
        Self::new(Method::PATCH, path, id, routing::patch, handler)
    }

    /// An operation that removes something.
    pub(crate) fn delete<H: Handler<T, Arc<Shared>>, T: 'static>(
        path: &'static str,
        id: &'static str,
        handler: H,
    ) -> Self {
        Self::new(Method::DELETE, path, id, routing::delete, handler)
    }

    /// What it does, in one line.
    pub(crate) fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// What else there is to know.
    pub(crate) fn description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// A parameter of the query, which may be left out.
    pub(crate) fn query(mut self, name: &str, schema: Json, description: &str) -> Self {
        self.query.push(json!({
            "name": name, "in": "query", "schema": schema, "description": description,
        }));
        self
    }

    /// The body that it takes.
    pub(crate) fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// It answers 200 with JSON of this type.
    pub(crate) fn gives<T: JsonSchema>(self, description: &'static str) -> Self {
        self.gives_as(JSON, SchemaGenerator::subschema_for::<T>, description)
    }

    /// It answers 200 with a list of these, each with the members that were chosen.
    pub(crate) fn gives_chosen<T: JsonSchema>(self, description: &'static str) -> Self {
        self.gives_as(JSON, chosen::<T>, description)
    }

    /// It refuses with this status, in words of its own or in those of all others.
    pub(crate) fn refuses_as(
        mut self,
        status: u16,
        schema: SchemaOf,
        description: &'static str,
    ) -> Self {
        let body = vec![(JSON, schema)];
        self.answers.push(Answer { status, description, body, headers: Vec::new() });
        self
    }

    /// It answers 200 with a body of this type and schema.
    pub(crate) fn gives_as(
        mut self,
        kind: &'static str,
        schema: SchemaOf,
        description: &'static str,
    ) -> Self {
        let body = vec![(kind, schema)];
        self.answers.push(Answer { status: 200, description, body, headers: Vec::new() });
        self
    }

    /// The last answer can also have a body of this type and schema.
    pub(crate) fn also(mut self, kind: &'static str, schema: SchemaOf) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.body.push((kind, schema));
        }
        self
    }

    /// It answers with this status and no body.
    pub(crate) fn gives_nothing(mut self, status: u16, description: &'static str) -> Self {
        self.answers.push(Answer { status, description, body: Vec::new(), headers: Vec::new() });
        self
    }

    /// The last answer has this header.
    pub(crate) fn header(mut self, name: &'static str, description: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((name, description));
        }
        self
    }

    /// The last answer is a page of a longer list.
    pub(crate) fn paged(self) -> Self {
        self.header("x-pagination-next", "The offset of the next page, when there is one")
            .header("x-pagination-total", "Rows up to here, and one more when there are more")
    }

    /// It is refused with this status, and when.
    pub(crate) fn refuses(mut self, status: u16, when: &'static str) -> Self {
        self.refusals.push((status, when));
        self
    }

    /// It makes something, once per idempotency key: a repeated request is answered with this.
    pub(crate) fn once(mut self, again: Again) -> Self {
        self.again = Some(again);
        self
    }

    /// It is only there on a server that is for development.
    pub(crate) fn development(mut self) -> Self {
        self.development = true;
        self
    }

    /// It is asked without a credential.
    pub(crate) fn open(mut self) -> Self {
        self.open = true;
        self
    }
}

/// A list of these, with any of their members.
fn chosen<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut item = T::json_schema(generator);
    item.remove("required");
    json_schema!({ "type": "array", "items": item })
}
