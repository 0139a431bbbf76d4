//! The least that a handler does: its payload is parsed, and looked at so that no
//! compiler leaves that out. No effect.

use qx_guest::prelude::*;

#[derive(Deserialize)]
struct Placed {
    order: u64,
    customer: String,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    article: String,
    cents: u64,
}

#[handler("bench.order.placed")]
fn look(event: Event<Placed>) -> Result<(), Failure> {
    let Placed {
        order,
        customer,
        lines,
    } = event.payload;
    let named = lines.iter().all(|line| !line.article.is_empty());
    let cents: u64 = lines.iter().map(|line| line.cents).sum();
    if customer.is_empty() || !named || cents == 0 {
        return Err(Failure::reject(format_args!("order {order} is empty")));
    }
    Ok(())
}
