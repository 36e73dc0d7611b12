//! The plugin folder, and the names that mean a plugin without a section.

use super::*;

/// A route through these stages, whose upstream has this adapter.
fn through(stages: &str, adapter: &str) -> String {
    format!(
        "[plugins]\ndir = \"filters\"\n[[listener]]\nlisten = \"127.0.0.1:0\"\n\
         [upstream.main]\nadapter = \"{adapter}\"\ntargets = [\"http://127.0.0.1:1\"]\n\
         [[route]]\npath = \"/*\"\npipeline = {stages}\nupstream = \"main\"\n"
    )
}

struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("filters")).expect("made");
        Self(folder)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join("filters").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).expect("written");
    }

    fn load(&self, text: &str) -> (Result<Config, Problems>, BTreeSet<PathBuf>) {
        let file = self.0.path().join("gate.toml");
        fs::write(&file, text).expect("written");
        load_with_files(Some(&file), &|name| {
            (name == "SECRET").then(|| "hidden".to_owned())
        })
    }

    fn problem(&self, text: &str) -> Problem {
        let mut problems = self.load(text).0.expect_err("a problem").0;
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.remove(0)
    }
}

#[test]
fn a_name_means_its_section_then_the_file_then_the_built_in_one() {
    let scene = Scene::new();
    scene.write("mine.wasm", "");
    scene.write("ollama.wasm", "");
    let text = through(r#"["auth", "mine", "rewrite"]"#, "ollama")
        + "[plugin.rewrite]\nsource = \"builtin:rewrite\"\nconfig = { rules = [] }\n";
    let (config, files) = scene.load(&text);
    let config = config.expect("right");
    let source = |name: &str| config.plugins[name].source.clone();
    assert_eq!(source("auth"), Source::Builtin("auth".into()));
    assert_eq!(source("rewrite"), Source::Builtin("rewrite".into()));
    assert_eq!(source("mine"), Source::File(scene.at("mine.wasm")));
    assert_eq!(source("ollama"), Source::File(scene.at("ollama.wasm")));
    // A file that is not there may come.
    for name in ["auth.wasm", "mine.wasm", "mine.toml", "rewrite.wasm"] {
        assert!(files.contains(&scene.at(name)), "{name}: {files:?}");
    }
}

#[test]
fn a_file_beside_the_component_configures_it() {
    let scene = Scene::new();
    scene.write("mine.wasm", "");
    scene.write(
        "mine.toml",
        "on-fault = \"open\"\nlimits = { cpu = \"5ms\" }\nconfig = { key = { env = \"SECRET\" } }\n",
    );
    let text = through(r#"["mine"]"#, "ollama");
    let config = scene.load(&text).0.expect("right");
    let plugin = &config.plugins["mine"];
    assert!(plugin.fail_open);
    assert_eq!(plugin.limits.cpu, Some(Duration::from_millis(5)));
    assert_eq!(plugin.config["key"], "hidden");
    assert!(plugin.secrets.contains("/key"));

    for (wrong, key, line) in [
        ("grants = [\"http\"]", "grants", 1),
        ("source = \"other.wasm\"", "source", 1),
        ("\nlimits.cpu = 5", "limits.cpu", 2),
    ] {
        scene.write("mine.toml", wrong);
        let problem = scene.problem(&text);
        let expected = format!("{}: {key}", scene.at("mine.toml").display());
        assert_eq!((problem.key, problem.line), (expected, Some(line)));
    }
    scene.write("mine.toml", "config = {");
    let problem = scene.problem(&text);
    assert!(problem.key.contains("mine.toml") && problem.message.contains("not TOML"));
    fs::remove_file(scene.at("mine.toml")).expect("removed");
    fs::create_dir(scene.at("mine.toml")).expect("made");
    assert!(scene.problem(&text).message.contains("cannot be read"));
}

#[test]
fn a_file_with_the_name_of_a_section_must_be_its_source() {
    let scene = Scene::new();
    scene.write("mine.wasm", "");
    let section = |source: &str| {
        through(r#"["mine"]"#, "ollama") + &format!("[plugin.mine]\nsource = \"{source}\"\n")
    };
    let problem = scene.problem(&section("builtin:auth"));
    assert_eq!(problem.key, "plugin.mine");
    assert!(problem.message.contains("mine.wasm"), "{problem}");
    scene.load(&section("filters/mine.wasm")).0.expect("right");
}

#[test]
fn a_name_that_is_nowhere_is_a_problem() {
    let scene = Scene::new();
    let problem = scene.problem(&through(r#"["mine"]"#, "ollama"));
    assert_eq!(problem.key, "route[0].pipeline[0]");
    let problem = scene.problem(&through(r#"["auth"]"#, "mine"));
    assert_eq!(problem.key, "upstream.main.adapter");
    // It is no name of a file.
    scene.write("../mine.wasm", "");
    let problem = scene.problem(&through(r#"["../mine"]"#, "ollama"));
    assert_eq!(problem.key, "route[0].pipeline[0]");
}
