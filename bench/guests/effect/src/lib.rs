//! The ordinary handler: reads a count from its state, writes the next, and emits
//! one event. Each of its three effects happens once.

use qx_guest::prelude::*;

#[derive(Deserialize)]
struct Order {
    order: u64,
    customer: String,
}

/// What `bench.order.counted` tells.
#[derive(Serialize)]
struct Counted<'a> {
    order: u64,
    customer: &'a str,
    orders: u64,
}

#[handler("bench.order.placed")]
fn count(event: Event<Order>) -> Result<(), Failure> {
    let Order { order, customer } = event.payload;
    let orders = state::get(&customer)?.unwrap_or(0) + 1;
    state::set(&customer, &orders)?;
    let counted = Counted {
        order,
        customer: &customer,
        orders,
    };
    emit("bench.order.counted", &counted)?;
    Ok(())
}
