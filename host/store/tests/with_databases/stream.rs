//! The embedded stream keeps the contract of streams, and some promises of its own.

use qx_events::contract::stream::World;
use qx_events::ports::{Publisher, Stream};
use qx_store::{EmbeddedStream, StreamConfig};
use tempfile::TempDir;

struct Embedded {
    stream: EmbeddedStream,
    config: StreamConfig,
    _folder: TempDir,
}

impl World for Embedded {
    fn publisher(&self) -> &dyn Publisher {
        &self.stream
    }
    fn stream(&self) -> &dyn Stream {
        &self.stream
    }
}

async fn fresh() -> Embedded {
    let folder = tempfile::tempdir().unwrap();
    let config = StreamConfig {
        path: folder.path().join("stream.db"),
        name: "QX_EVENTS".to_owned(),
        subject_prefix: "svc".to_owned(),
    };
    let stream = EmbeddedStream::open(&config).await.unwrap();
    Embedded {
        stream,
        config,
        _folder: folder,
    }
}

mod contract {
    qx_events::stream_contract!(super::fresh());
}
