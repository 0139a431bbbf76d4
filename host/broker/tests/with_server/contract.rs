//! The contract of every stream, kept by this one.

use qx_broker::Broker;
use qx_broker::testing::Nats;
use qx_events::contract::stream::World;
use qx_events::ports::{Publisher, Stream};

use crate::world;

struct Private {
    broker: Broker,
    /// Gone on drop, after the broker.
    _nats: Nats,
}

impl World for Private {
    fn publisher(&self) -> &dyn Publisher {
        &self.broker
    }

    fn stream(&self) -> &dyn Stream {
        &self.broker
    }
}

async fn private() -> Private {
    let nats = Nats::start().await.unwrap();
    Private {
        broker: world::broker(&nats).await,
        _nats: nats,
    }
}

qx_events::stream_contract!(private());
