/* For handlers that take types of their own: the functions that the project's world
 * exports, see docs/typed-handlers.md of the host.
 *
 *     #include "qx_typed.h"
 *
 *     static qx_outcome on_order(const acme_orders_events_order_placed_t *order) {
 *       qx_info("an order of %s", qx_text_of(order->customer));
 *       return qx_done();
 *     }
 *
 *     bool exports_component_on_order_placed(acme_orders_events_order_placed_t *order,
 *                                            component_failure_t *failure) {
 *       return qx_answer(on_order(order), failure);
 *     }
 */
#ifndef QX_TYPED_H
#define QX_TYPED_H

#include <component.h> /* the bindings of the project's world, from the build; else those beside this file */
#include "qx.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What an export returns for a handler's answer, and for what speaks against the event
 * whatever the handler answers. The last thing of a call. */
bool qx_answer(qx_outcome outcome, qx_events_types_failure_t *failure);

/* A text of the world as one of C, with an end. */
const char *qx_text_of(component_string_t text);

#ifdef __cplusplus
}
#endif
#endif
