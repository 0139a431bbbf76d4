//! Three private nats-servers that are one cluster: a stream with three replicas
//! outlives each of them.

use std::time::Duration;

use async_nats::jetstream;
use tokio::time::Instant;

use super::{Nats, Setup, StartError};

/// Servers of a cluster: the fewest that can lose one.
const SERVERS: usize = 3;
/// Patience with a cluster that looks for its leader.
const READY_TIMEOUT: Duration = Duration::from_secs(40);
/// How often it is asked.
const READY_POLL: Duration = Duration::from_millis(100);

/// A private cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its servers; each can be killed and restarted.
    pub servers: Vec<Nats>,
}

impl Cluster {
    /// Starts one, and waits until it has a leader.
    pub async fn start() -> Result<Self, StartError> {
        let ports = free_ports()?;
        let routes: Vec<String> = ports
            .iter()
            .map(|port| format!("\"nats://127.0.0.1:{port}\""))
            .collect();
        let routes = routes.join(", ");
        let mut servers = Vec::with_capacity(SERVERS);
        for (nth, port) in ports.into_iter().enumerate() {
            let extra = format!(
                "server_name: \"{}\"\ncluster {{ name: qx, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}",
                name(nth)
            );
            let setup = Setup {
                extra,
                ..Setup::default()
            };
            servers.push(Nats::start_with(setup).await?);
        }
        let cluster = Self { servers };
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Where its servers listen, now and after every restart.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Nats::url).collect()
    }

    /// Waits until any server says that JetStream works.
    pub async fn ready(&self) -> Result<(), StartError> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let said = match self.context().await {
                Ok(context) => match context.query_account().await {
                    Ok(_) => return Ok(()),
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                return Err(StartError::Failed(format!("no cluster: {said}")));
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// The server that leads a stream; `None` while nobody does.
    pub async fn leader_of(&self, stream: &str) -> Option<usize> {
        let context = self.context().await.ok()?;
        let stream = context.get_stream(stream).await.ok()?;
        let leader = stream.cached_info().cluster.as_ref()?.leader.clone()?;
        (0..self.servers.len()).find(|nth| name(*nth) == leader)
    }

    /// A connection to whichever server answers.
    pub async fn context(&self) -> Result<jetstream::Context, async_nats::ConnectError> {
        let client = async_nats::connect(self.urls()).await?;
        Ok(jetstream::new(client))
    }
}

fn name(nth: usize) -> String {
    format!("qx-{nth}")
}

/// Ports that are free now, for the servers among each other.
fn free_ports() -> Result<Vec<u16>, StartError> {
    let mut listeners = Vec::with_capacity(SERVERS);
    for _ in 0..SERVERS {
        listeners.push(std::net::TcpListener::bind(("127.0.0.1", 0))?);
    }
    let ports = listeners.iter().map(|one| Ok(one.local_addr()?.port()));
    ports.collect()
}
