//! Swaps beside streams that go on: each response comes wholly from the versions that its request began with.

use std::fs;
use std::path::Path;

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_config as config;
use sluicegate_tests::client::{End, Stream};
use sluicegate_tests::guest::{self, MARKS};
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, eventually};
use tempfile::TempDir;

/// How often something is swapped.
const SWAPS: usize = 10;
/// Streams that begin between two swaps.
const STREAMS: usize = 5;

/// What is swapped: the file of the stage `one`, its configuration, and the pipeline.
struct Version {
    build: u32,
    mark: &'static str,
    pipeline: &'static [&'static str],
}

impl Version {
    /// Each differs from the one before in one of the three.
    fn number(number: usize) -> Self {
        const PIPELINES: [&[&str]; 4] = [&["one"], &["one", "two"], &["two", "one"], &["two"]];
        let changed = |what: usize| (number + 2 - what) / 3;
        Self {
            build: u32::try_from(changed(0)).expect("few"),
            mark: ["a", "b", "c", "d", "e"][changed(1)],
            pipeline: PIPELINES[changed(2) % PIPELINES.len()],
        }
    }

    /// What its stages leave in heads and contents.
    fn marks(&self) -> String {
        let mark = |stage: &&str| match *stage {
            "one" => format!("{}-{:06}.", self.mark, self.build),
            _ => "two-000000.".to_owned(),
        };
        self.pipeline.iter().map(mark).collect()
    }
}

/// A gateway, and the folder with the file of the stage `one`.
struct Scene {
    folder: TempDir,
    upstream: Upstream,
}

impl Scene {
    /// The configuration with this version, of which the file is in place then.
    fn setup(&self, version: &Version) -> Setup {
        let file = self.folder.path().join("one.wasm");
        fs::write(&file, guest::marker(version.build)).expect("written");
        let config = |mark: &str| format!("config = {{ mark = {mark:?} }}");
        let file = file.display().to_string();
        Setup::before(&self.upstream)
            // A version that is replaced is not held for a rollback.
            .section("[swap]\nrollback = \"0s\"")
            .plugin("one", &file, &config(version.mark))
            .plugin("two", guest::MARKER, &config("two"))
            .route("/*", &format!("{:?}", version.pipeline), "")
    }

    async fn swap(&self, gateway: &Gateway, version: &Version) {
        let text = self.setup(version).toml();
        let config = config::parse(&text, Path::new(""), &|_| None).expect("it is right");
        let applied = gateway.running().control().apply(config).await;
        applied.expect("it is put into force");
    }
}

/// A model server that repeats the marks of the request's head: at once in a document, and in a stream with an event for each
/// barrier that is open.
async fn repeats(barriers: Vec<Barrier>) -> Upstream {
    Upstream::start(move |request| {
        let content =
            json!({"content": format!("<{}>", request.header(MARKS).unwrap_or_default())});
        if request.path() == "/whole" {
            return Script::json(200, &content);
        }
        let event = format!("data: {content}\n\n");
        let stream = Script::sse_head().chunk(event.clone());
        let next = |stream: Script, barrier| stream.wait(barrier).chunk(event.clone());
        barriers.iter().fold(stream, next)
    })
    .await
}

/// The marks of this content, if its request and its response have the same.
#[track_caller]
fn assert_marked(content: &Value, marks: &str) {
    let wanted = json!({"content": format!("{marks}<{marks}>")});
    assert_eq!(*content, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_response_comes_wholly_from_the_versions_that_it_began_with() {
    let barriers: Vec<Barrier> = (0..SWAPS).map(|_| Barrier::new()).collect();
    let scene = Scene {
        folder: tempfile::tempdir().expect("a folder"),
        upstream: repeats(barriers.clone()).await,
    };
    let gateway = scene.setup(&Version::number(0)).start().await;
    let client = gateway.client();
    let mut streams: Vec<(String, Stream)> = Vec::new();
    for (number, barrier) in barriers.iter().enumerate() {
        let marks = Version::number(number).marks();
        for _ in 0..STREAMS {
            let mut stream = client.open(Method::GET, "/stream", "").await;
            assert_eq!(stream.header(MARKS), marks);
            // The events behind the barriers that are open already.
            for _ in 0..=number {
                let event = stream.event().await.expect("an event");
                assert_marked(&event.json(), &marks);
            }
            streams.push((marks.clone(), stream));
        }
        // Exchanges of all versions are under way while the next one comes into force.
        let unary = async {
            for _ in 0..STREAMS {
                let response = client.get("/whole").await;
                assert_eq!(response.status, 200);
                assert_marked(&response.json(), response.header(MARKS));
            }
        };
        let next = Version::number(number + 1);
        tokio::join!(scene.swap(&gateway, &next), unary);
        let response = client.get("/whole").await;
        assert_eq!(response.header(MARKS), next.marks());
        assert_marked(&response.json(), &next.marks());
        barrier.open();
        for (marks, stream) in &mut streams {
            let event = stream.event().await.expect("another event");
            assert_marked(&event.json(), marks);
        }
    }
    for (_, mut stream) in streams {
        assert_eq!(stream.event().await, None);
        assert_eq!(stream.end(), Some(End::Proper));
    }
    for plugin in ["one", "two"] {
        let series = format!("sluicegate_plugin_live_versions{{plugin=\"{plugin}\"}}");
        eventually("the old versions to go", async || {
            (gateway.metric(&series).await == 1.0).then_some(())
        })
        .await;
    }
    gateway.shutdown().await;
}
