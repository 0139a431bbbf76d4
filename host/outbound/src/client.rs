//! One request from its text to its answer: plan, resolve, admit, connect, exchange,
//! all of it within the request's time.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use qx_events::ComponentName;
use qx_events::ports::{Http, HttpError, HttpRequest, HttpResponse};
use qx_events::web::HttpGrant;
use rustls::ClientConfig;

use crate::connect::{Connection, connect};
use crate::exchange::exchange;
use crate::plan::{Plan, plan};
use crate::resolve::{Resolve, SystemResolver};
use crate::tls::{TlsError, client_config};

/// What the clients of all components share. One for the process.
#[derive(Clone)]
pub struct Outbound {
    resolver: Arc<dyn Resolve>,
    tls: Arc<ClientConfig>,
}

impl Outbound {
    /// Trusts the authorities of the system, and those in this file of PEM.
    pub fn new(extra_authorities: Option<&Path>) -> Result<Self, TlsError> {
        Ok(Self {
            resolver: Arc::new(SystemResolver),
            tls: Arc::new(client_config(extra_authorities)?),
        })
    }

    /// The same with somebody else who knows addresses.
    #[must_use]
    pub fn with_resolver(self, resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, ..self }
    }

    /// A client for one component.
    pub fn client(&self, component: ComponentName, grants: Vec<HttpGrant>) -> Client {
        Client {
            outbound: self.clone(),
            component,
            grants,
        }
    }
}

/// Sends the requests of one component.
pub struct Client {
    outbound: Outbound,
    component: ComponentName,
    grants: Vec<HttpGrant>,
}

#[async_trait]
impl Http for Client {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (time, bytes_max) = (request.timeout, request.response_bytes_max);
        let plan = plan(request, &self.grants, &self.component)?;
        let origin = plan.origin.to_string();
        let work = Box::pin(self.carry_out(plan, bytes_max));
        let answer = tokio::time::timeout(time, work).await;
        answer.unwrap_or_else(|_elapsed| {
            let ms = time.as_millis();
            Err(HttpError::Timeout(format!(
                "no whole answer from {origin} within {ms} ms"
            )))
        })
    }
}

impl Client {
    async fn carry_out(&self, plan: Plan, bytes_max: usize) -> Result<HttpResponse, HttpError> {
        let addresses = self.addresses(&plan).await?;
        let addresses = plan.admit(&addresses, &self.component)?;
        let tls = Arc::clone(&self.outbound.tls);
        let connection = connect(&plan.origin, &addresses, tls).await?;
        match connection {
            Connection::Plain(stream) => exchange(stream, plan.request, bytes_max).await,
            Connection::Tls(stream) => exchange(*stream, plan.request, bytes_max).await,
        }
    }

    /// Every address behind the host: asked for once.
    async fn addresses(&self, plan: &Plan) -> Result<Vec<IpAddr>, HttpError> {
        if let Some(address) = plan.origin.address() {
            return Ok(vec![address]);
        }
        let (name, port) = (plan.origin.host().to_string(), plan.origin.port());
        let found = self.outbound.resolver.resolve(&name, port).await;
        let found = found.map_err(|error| {
            HttpError::Connect(format!("the name {name} is not known: {error}"))
        })?;
        if found.is_empty() {
            return Err(HttpError::Connect(format!(
                "the name {name} has no address"
            )));
        }
        Ok(found)
    }
}
