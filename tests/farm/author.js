// The author API of Flamenco's job types as its documentation has it, and nothing else: what goja lacks is taken away,
// words that no worker knows are refused, and a task counts as it was when it was handed over.

for (const name of ["console", "setTimeout", "setInterval", "clearTimeout", "Intl", "structuredClone", "WeakRef",
  "FinalizationRegistry", "Iterator", "performance", "queueMicrotask", "navigator", "gc", "std", "os", "fetch",
  "AggregateError", "Float16Array", "DOMException", "AsyncIterator"]) {
  delete globalThis[name];
}
const YOUNGER = [
  [Array.prototype, ["at", "findLast", "findLastIndex", "toSorted", "toReversed", "toSpliced", "with"]],
  [Array, ["fromAsync"]],
  [String.prototype, ["at", "replaceAll", "isWellFormed", "toWellFormed", "matchAll"]],
  [Object, ["hasOwn", "groupBy"]],
  [Map, ["groupBy"]],
  [Promise, ["any", "allSettled", "withResolvers", "try"]],
  [Set.prototype, ["union", "intersection", "difference", "isSubsetOf", "isSupersetOf", "isDisjointFrom"]],
  [RegExp, ["escape"]],
];
for (const [owner, names] of YOUNGER) {
  names.forEach((name) => delete owner[name]);
}

// usage/jobs-tasks-commands/commands.md: the parameters of each command, and those without which it fails.
const COMMANDS = {
  "blender-render": { exe: "string", exeArgs: "string", argsBefore: "list", blendfile: "string", args: "list" },
  "exec": { exe: "string", args: "list" },
};
const NEEDED = { "blender-render": ["exe", "blendfile"], "exec": ["exe"] };

const isText = (value) => typeof value === "string";
const FITS = { string: isText, list: (value) => Array.isArray(value) && value.every(isText) };

function demand(fits, sentence) {
  if (!fits) {
    throw new TypeError(sentence);
  }
}

const author = Object.freeze({
  Task(name, type) {
    demand(isText(name) && name.trim(), "author.Task(name, type): name is required");
    demand(isText(type) && type.trim(), "author.Task(name, type): type is required");
    return {
      id: Symbol(name), name: name.trim(), type: type.trim(), commands: [], dependencies: [],
      addCommand(command) {
        demand(command && command.isCommand, "addCommand wants what author.Command made");
        this.commands.push({ name: command.name, parameters: command.parameters });
      },
      addDependency(task) {
        demand(task && task.id, "addDependency wants what author.Task made");
        this.dependencies.push(task.id);
      },
    };
  },
  Command(name, parameters, totalStepCount) {
    const known = COMMANDS[name];
    demand(known, `no worker knows the command ${name}`);
    for (const [key, value] of Object.entries(parameters)) {
      demand(known[key], `${name} has no parameter ${key}`);
      demand(FITS[known[key]](value), `parameter ${key} of ${name} is no ${known[key]}`);
    }
    NEEDED[name].forEach((key) => demand(parameters[key], `${name} needs ${key}`));
    demand(totalStepCount === undefined || Number.isInteger(totalStepCount), "totalStepCount is no number");
    return { isCommand: true, name, parameters };
  },
});

// Flamenco 3 hands over a copy of the task as it stands then, and finds dependencies by their ids later.
function newJob(settings) {
  const tasks = [];
  return {
    settings: Object.freeze(settings), tasks,
    addTask(task) {
      demand(task && task.id, "addTask wants what author.Task made");
      tasks.push({ ...task, commands: [...task.commands], dependencies: [...task.dependencies] });
    },
  };
}

function compiled(text) {
  const job = newJob(JSON.parse(text));
  compileJob(job);
  const places = new Map(job.tasks.map((task, place) => [task.id, place]));
  demand(places.size === job.tasks.length, "a task is added twice");
  return JSON.stringify(job.tasks.map(({ name, type, commands, dependencies }) => {
    demand(dependencies.every((id) => places.has(id)), `${name} waits for a task that is not in the job`);
    return { name, type, commands, after: dependencies.map((id) => job.tasks[places.get(id)].name) };
  }));
}

function jobType() {
  return JSON.stringify(JOB_TYPE);
}
