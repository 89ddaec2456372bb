//! Every input that was kept, through its target: a finding of the fuzzer stays found.

use std::fs;
use std::path::Path;

#[test]
fn every_kept_input_keeps_the_rules() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, check) in keygate_fuzz::TARGETS {
        let directory = corpus.join(name);
        let files = fs::read_dir(&directory).unwrap_or_else(|e| panic!("{directory:?}: {e}"));
        let mut count = 0;
        for file in files {
            let path = file.expect("an entry can be read").path();
            println!("{}", path.display());
            check(&fs::read(&path).expect("a file can be read"));
            count += 1;
        }
        assert!(count > 0, "{name} has no corpus");
    }
}
