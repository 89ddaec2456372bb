//! The documents say what the code does: tables that people keep by hand against the types.

use std::fs;
use std::path::Path;

use keygate::domain::Reason;

#[test]
fn every_reason_stands_in_the_document_as_it_answers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let document = fs::read_to_string(path).unwrap();
    for reason in Reason::ALL {
        let row = format!(
            "| `{}` | {} | `{}` | {} | ",
            reason.name(),
            reason.status(),
            reason.code(),
            reason.message()
        );
        assert!(document.contains(&row), "docs/errors.md lacks the row that begins: {row}");
    }
}
