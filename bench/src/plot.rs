//! Bars as SVG, small enough to lie in the repository: a name, a bar, a number.

use std::fmt::Write as _;

use crate::report::shown;

const WIDTH: f64 = 760.0;
const LABEL: f64 = 300.0;
const ROW: f64 = 26.0;
const TOP: f64 = 40.0;
const ROOM_FOR_NUMBERS: f64 = 110.0;

/// A plot of these, on a logarithmic axis: they differ by hundreds. Ours are the
/// ones said `true`.
pub(crate) fn bars(title: &str, unit: &str, values: &[(String, f64, bool)]) -> String {
    let height = TOP + ROW * values.len() as f64 + 10.0;
    let most = values
        .iter()
        .map(|(_, value, _)| *value)
        .fold(1e-9, f64::max);
    let least = values
        .iter()
        .map(|(_, value, _)| *value)
        .fold(most, f64::min);
    let room = WIDTH - LABEL - ROOM_FOR_NUMBERS;
    // The least still has a bar: a third of a tenfold.
    let length =
        |value: f64| room * ((value / least).log10() + 0.3) / ((most / least).log10() + 0.3);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    );
    for (index, (name, value, ours)) in values.iter().enumerate() {
        let y = TOP + ROW * index as f64;
        let fill = if *ours { "#2a6f97" } else { "#b8c0c8" };
        let end = LABEL + length(*value);
        // Writing to a string cannot fail.
        _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LABEL}\" y=\"{}\" width=\"{:.1}\" height=\"18\" fill=\"{fill}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{} {}</text>",
            LABEL - 8.0,
            y + 14.0,
            escaped(name),
            y,
            length(*value),
            end + 6.0,
            y + 14.0,
            shown(*value),
            escaped(unit)
        );
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_room_and_text_is_escaped() {
        let values = [
            ("a <b>".to_owned(), 10.0, true),
            ("c".to_owned(), 5.0, false),
        ];
        let svg = bars("t", "/s", &values);
        assert!(
            svg.contains("a &lt;b>")
                && svg.contains("width=\"350.0\"")
                && svg.contains("width=\"174.7\""),
            "{svg}"
        );
    }
}
