// Tells how deployments went, `deploy.finished`, and how long each environment has
// been green. A deployment that is still on its way is looked at again.

import { type Event, Reject, Retry, config, emit, handler, state } from "qx-guest";

interface DeploymentStatus {
  deployment_status: { state: string; environment: string };
  deployment: { id: number; sha: string };
  repository: { full_name: string };
}

/** What is kept of an environment. */
interface Environment {
  last: string;
  inARow: number;
}

/** Attempts until a deployment counts as stuck. */
const ATTEMPTS_OF_GRACE = 3;

function remember(key: string, outcome: string): Environment {
  const before = state.get<Environment>(key);
  const inARow = before?.last === outcome ? before.inARow + 1 : 1;
  const environment = { last: outcome, inARow };
  state.set(key, environment);
  return environment;
}

handler("github.deployment_status.created", ({ payload, attempt }: Event<DeploymentStatus>) => {
  const { deployment, deployment_status: status, repository } = payload;
  const where = `${status.environment} of ${repository.full_name}`;
  if ((config.get("ignored") ?? "").split(",").includes(status.environment)) {
    console.debug(`${where} is ignored`);
    return;
  }
  switch (status.state) {
    case "pending":
    case "queued":
    case "in_progress":
      if (attempt < ATTEMPTS_OF_GRACE) throw new Retry(`${where} is ${status.state}`, { afterMs: 30 });
      console.warn(`${where} is stuck: ${status.state}`);
      emit("deploy.stuck", { repository: repository.full_name, environment: status.environment }, { afterMs: 20 });
      return;
    case "success":
    case "failure":
    case "error": {
      const { inARow } = remember(`${repository.full_name}/${status.environment}`, status.state);
      emit("deploy.finished", {
        repository: repository.full_name,
        environment: status.environment,
        commit: deployment.sha.slice(0, 7),
        outcome: status.state,
        inARow,
      });
      console.log(`${where}: ${status.state},`, { inARow });
      return;
    }
    default:
      throw new Reject(`${where} has the unknown state ${status.state}`);
  }
});
