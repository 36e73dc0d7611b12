//! `exchange-context`: what a guest reads of its exchange and may change in it.

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, StatusCode};
use serde::de::IgnoredAny;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::plugin::abi::{Fault, Field};
use crate::plugin::bindings::filter::sluicegate::plugin::exchange_context::{Host, HostContext};
use crate::plugin::context::{Context, Direction, is_owned_by_host};
use crate::plugin::instance::State;

impl Host for State {}

/// A denied or illegal change: the guest's mistake, so a server error if it hands the fault on.
fn denied(message: String) -> Fault {
    Fault {
        status: 500,
        code: "illegal_change".into(),
        message,
        param: None,
    }
}

impl State {
    fn lent(&self) -> Result<&Context> {
        self.context
            .as_deref()
            .ok_or_else(|| wasmtime::Error::msg("there is no exchange in this call"))
    }

    fn lent_mut(&mut self) -> Result<&mut Context> {
        self.context
            .as_deref_mut()
            .ok_or_else(|| wasmtime::Error::msg("there is no exchange in this call"))
    }

    /// The context, if this is a request phase.
    fn requesting(&mut self, what: &str) -> Result<Result<&mut Context, Fault>> {
        let context = self.lent_mut()?;
        Ok(match context.direction {
            Direction::Request => Ok(context),
            Direction::Response => {
                Err(denied(format!("{what} can only be set in a request phase")))
            }
        })
    }

    /// Changes one field of the current direction.
    fn change(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut HeaderMap, HeaderName) -> Result<(), Fault>,
    ) -> Result<Result<(), Fault>> {
        let context = self.lent_mut()?;
        Ok(field_name(name).and_then(|name| {
            if context.direction == Direction::Request {
                context.set_by_stage.host |= name == header::HOST;
                context.set_by_stage.credentials |=
                    name == header::AUTHORIZATION || name == "x-api-key";
            }
            change(context.fields_mut(), name)
        }))
    }
}

fn field_name(name: &str) -> Result<HeaderName, Fault> {
    let name: HeaderName = name
        .parse()
        .map_err(|_| denied(format!("`{name}` is not a header field name")))?;
    if is_owned_by_host(&name) {
        return Err(denied(format!("the field `{name}` belongs to the gateway")));
    }
    Ok(name)
}

fn field_value(name: &HeaderName, value: &[u8]) -> Result<HeaderValue, Fault> {
    HeaderValue::from_bytes(value)
        .map_err(|_| denied(format!("the value for `{name}` is not legal in HTTP")))
}

impl HostContext for State {
    fn id(&mut self, _: Resource<Context>) -> Result<String> {
        Ok(self.lent()?.id.to_string())
    }

    fn received_ms(&mut self, _: Resource<Context>) -> Result<u64> {
        Ok(self.lent()?.received_ms)
    }

    fn route(&mut self, _: Resource<Context>) -> Result<String> {
        Ok(self.lent()?.route.to_string())
    }

    fn client(&mut self, _: Resource<Context>) -> Result<String> {
        Ok(self.lent()?.client.to_string())
    }

    fn method(&mut self, _: Resource<Context>) -> Result<String> {
        Ok(self.lent()?.method.to_string())
    }

    fn path(&mut self, _: Resource<Context>) -> Result<String> {
        Ok(self.lent()?.path.clone())
    }

    fn query(&mut self, _: Resource<Context>) -> Result<String> {
        Ok(self.lent()?.query.clone())
    }

    fn set_path(&mut self, _: Resource<Context>, path: String) -> Result<Result<(), Fault>> {
        Ok(self.requesting("the path")?.and_then(|context| {
            let legal = path.starts_with('/')
                && !path.contains(['?', '#'])
                && PathAndQuery::try_from(path.as_str()).is_ok();
            if !legal {
                return Err(denied(format!("`{path}` is not a path")));
            }
            context.path = path;
            Ok(())
        }))
    }

    fn set_query(&mut self, _: Resource<Context>, query: String) -> Result<Result<(), Fault>> {
        Ok(self.requesting("the query")?.and_then(|context| {
            if query.contains('#') || PathAndQuery::try_from(format!("/?{query}")).is_err() {
                return Err(denied(format!("`{query}` is not a query")));
            }
            context.query = query;
            Ok(())
        }))
    }

    fn set_upstream(&mut self, _: Resource<Context>, name: String) -> Result<Result<(), Fault>> {
        Ok(self.requesting("the upstream")?.and_then(|context| {
            let Some(upstream) = context.upstreams.iter().find(|have| ***have == *name) else {
                return Err(denied(format!("there is no upstream `{name}`")));
            };
            context.upstream = upstream.clone();
            Ok(())
        }))
    }

    fn status(&mut self, _: Resource<Context>) -> Result<u16> {
        Ok(self.lent()?.status.map_or(0, |status| status.as_u16()))
    }

    fn set_status(&mut self, _: Resource<Context>, status: u16) -> Result<Result<(), Fault>> {
        let context = self.lent_mut()?;
        Ok(match (context.direction, StatusCode::from_u16(status)) {
            (Direction::Request, _) => Err(denied(
                "the status can only be set in a response phase".into(),
            )),
            (Direction::Response, Ok(status)) if (200..=599).contains(&status.as_u16()) => {
                context.status = Some(status);
                Ok(())
            }
            (Direction::Response, _) => {
                Err(denied(format!("{status} is not a status from 200 to 599")))
            }
        })
    }

    fn fields(&mut self, _: Resource<Context>) -> Result<Vec<Field>> {
        let field = |(name, value): (&HeaderName, &HeaderValue)| Field {
            name: name.as_str().to_owned(),
            value: value.as_bytes().to_vec(),
        };
        Ok(self.lent()?.fields().iter().map(field).collect())
    }

    fn get(&mut self, _: Resource<Context>, name: String) -> Result<Option<Vec<u8>>> {
        Ok(self
            .lent()?
            .fields()
            .get(name.as_str())
            .map(|value| value.as_bytes().to_vec()))
    }

    fn set(
        &mut self,
        _: Resource<Context>,
        name: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Fault>> {
        self.change(&name, |fields, name| {
            let value = field_value(&name, &value)?;
            fields.insert(name, value);
            Ok(())
        })
    }

    fn append(
        &mut self,
        _: Resource<Context>,
        name: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Fault>> {
        self.change(&name, |fields, name| {
            let value = field_value(&name, &value)?;
            fields
                .try_append(name, value)
                .map(drop)
                .map_err(|_| denied("there are too many header fields".into()))
        })
    }

    fn remove(&mut self, _: Resource<Context>, name: String) -> Result<Result<(), Fault>> {
        let context = self.lent_mut()?;
        Ok(field_name(&name).map(|name| {
            context.fields_mut().remove(name);
        }))
    }

    fn note(&mut self, _: Resource<Context>, name: String) -> Result<Option<String>> {
        Ok(self.lent()?.note(&name).map(str::to_owned))
    }

    fn set_note(
        &mut self,
        _: Resource<Context>,
        name: String,
        json: String,
    ) -> Result<Result<(), Fault>> {
        if serde_json::from_str::<IgnoredAny>(&json).is_err() {
            return Ok(Err(denied(format!("the note `{name}` is not JSON"))));
        }
        if !self.lent_mut()?.set_note(name, json) {
            return Ok(Err(denied(
                "the notes of one exchange are limited to 64 and to 64 KiB".into(),
            )));
        }
        Ok(Ok(()))
    }

    /// A guest cannot own a context, so there is nothing to free.
    fn drop(&mut self, _: Resource<Context>) -> Result<()> {
        Ok(())
    }
}
