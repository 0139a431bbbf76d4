//! The report that CI servers read: a suite for each component, a test case for each
//! scenario.

use std::path::Path;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::report::{properties, why};
use crate::scenario::{CaseReport, Ran, Suite};

/// The report's name.
const NAME: &str = "qx-host test";

/// Writes the report, whole.
pub(super) fn write(path: &Path, suites: &[Suite]) -> Result<(), String> {
    let mut report = Report::new(NAME);
    for suite in suites {
        let mut own = TestSuite::new(suite.component.as_str());
        own.add_test_cases(
            suite
                .cases
                .iter()
                .map(|case| test_case(&suite.component, case)),
        );
        report.add_test_suite(own);
    }
    let text = report.to_string().map_err(|error| error.to_string())?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    }
    std::fs::write(path, text).map_err(|error| error.to_string())
}

fn test_case(component: &str, case: &CaseReport) -> TestCase {
    let status = if case.holds() {
        TestCaseStatus::success()
    } else {
        let kind = match &case.ran {
            Ran::Broken(_) => NonSuccessKind::Error,
            Ran::Through(_) | Ran::Recorded(_) => NonSuccessKind::Failure,
        };
        let mut status = TestCaseStatus::non_success(kind);
        status
            .set_message(case.about.as_str())
            .set_description(why(case));
        status
    };
    let mut own = TestCase::new(case.name.as_str(), status);
    let time: Duration = case
        .steps()
        .iter()
        .filter_map(|step| step.cost)
        .map(|cost| cost.wall)
        .sum();
    own.set_classname(component).set_time(time);
    for (name, value) in properties(case.steps()) {
        own.add_property((name, value));
    }
    own
}
