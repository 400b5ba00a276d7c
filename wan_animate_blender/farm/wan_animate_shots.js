// SPDX-License-Identifier: GPL-3.0-or-later
// Flamenco job type "wan-animate-shots": each shot exported and rendered, and all of them imported. Knows no model.
//
// This file belongs into the folder `scripts` beside the flamenco-manager program; docs/flamenco.md says the rest.
// The Manager runs it in goja: ECMAScript 2019 without console, timers and Intl.
//
// Submitted from Wan Animate's panel Farm, all settings are given. Submitted by hand from Flamenco's own add-on: open
// the .blend in a submission's folder, <shots>/farm/f001, choose this job type and submit; every setting then finds
// its value in that folder.

const JOB_TYPE = {
  label: "Wan Animate Shots",
  description: "Export each shot of a Wan Animate submission, render it on a GPU, import all takes",
  settings: [
    {
      key: "submission", type: "string", subtype: "file_path", required: true, visible: "visible",
      label: "Submission",
      description: "submission.json, which Wan Animate wrote when the shots were prepared for a farm",
      eval: "str(abspath('//submission.json'))",
      evalInfo: { showLinkButton: true, description: "Beside this file" },
    },
    {
      key: "shots_root", type: "string", subtype: "dir_path", required: true, visible: "visible",
      label: "Folder of All Shots",
      description: "Where exports and takes go; every worker must see it",
      eval: "str(abspath('//../..'))",
      evalInfo: { showLinkButton: true, description: "Two folders above this file" },
    },
    {
      key: "shots", type: "string", required: true, visible: "submission",
      label: "Shots",
      description: "JSON list of shots, whoever is a base before those in front of it: folder is the shot and its " +
        "export, base the folder of the person behind or empty, gpu the bytes that the render needs on one device or 0",
      // Parentheses and one outermost iterable: names of the caller are not seen inside a comprehension.
      eval: "__import__('json').dumps([{'folder': s['folder'], 'base': s.get('base', ''), " +
        "'gpu': s.get('gpu_memory') or 0} for s in " +
        "__import__('json').loads(abspath('//submission.json').read_text(encoding='utf-8'))['shots']])",
      evalInfo: { showLinkButton: true, description: "All shots of the submission" },
    },
    {
      key: "device", type: "string", choices: ["cuda", "cpu"], default: "cuda", visible: "visible",
      label: "Device",
      description: "What renders on a worker; CUDA_VISIBLE_DEVICES of the worker's process says which GPU",
    },
    {
      key: "save_as", type: "string", subtype: "file_path", default: "", visible: "visible",
      label: "Result",
      description: "File into which the submission's file is saved with all takes in it; empty saves it in place",
    },
    {
      key: "render_edit", type: "string", subtype: "dir_path", default: "", visible: "visible",
      label: "Render Edit To",
      description: "Folder into which the edit is rendered with all takes in it; empty renders none",
    },
    {
      key: "gpu_sizes", type: "string", default: "16 24 32 48 80 96 141", visible: "hidden",
      description: "GB of the GPUs of this farm: a shot goes to task type wan-gpu-NNg with the smallest that is enough",
    },
    {
      key: "version", type: "string", default: "2737815b24e7", visible: "hidden",
      description: "Tells this file from those of other versions of Wan Animate",
    },
    {
      // Flamenco's add-on puts the path of the file into a setting of this name.
      key: "blendfile", type: "string", required: true, visible: "web",
      label: "Blend File",
      description: "The submission's copy of the file that has the shots",
    },
  ],
};

const GIGABYTE = 1e9; // as GPUs are sold: a "24 GB" one has at least that many bytes
const FOLDER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\/e[0-9]{3,}$/;
const SHOT_KEYS = ["folder", "base", "gpu"];

function expect(fits, sentence) {
  if (!fits) {
    throw new Error(sentence);
  }
}

function quoted(value) {
  const text = JSON.stringify(value);
  return text === undefined ? "missing" : text.length > 60 ? text.slice(0, 57) + "..." : text;
}

// The text of a setting; absent ones are empty, as Flamenco hands over only what was submitted.
function textOf(settings, key) {
  const value = settings[key];
  const given = value === undefined || value === null ? "" : value;
  expect(typeof given === "string", `the setting ${key} is ${quoted(given)}, expected a text`);
  return given.trim();
}

// A path that begins at a root, a drive, a network share or a variable of the Manager, without slashes at its end
// except for those of a root.
function pathOf(settings, key) {
  const given = textOf(settings, key);
  expect(/^(\/|\\\\|[A-Za-z]:[\\/]|\{\w+\})/.test(given),
    `the setting ${key} is ${quoted(given)}, expected an absolute path that all workers see`);
  return given.replace(/([^:\\/])[\\/]+$/, "$1");
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`the setting shots is ${quoted(text)}, expected a JSON list of shots (${error.message})`);
  }
}

function shotsOf(settings) {
  const shots = parsed(textOf(settings, "shots"));
  expect(Array.isArray(shots) && shots.length > 0,
    `the setting shots is ${quoted(shots)}, expected a JSON list with at least one shot`);
  const folders = new Set();
  const names = new Set();
  shots.forEach((shot, place) => {
    expectShot(shot, place, folders, names);
    folders.add(shot.folder);
    names.add(shot.folder.split("/")[0]);
  });
  return shots;
}

function expectShot(shot, place, folders, names) {
  const where = `shot ${place + 1} of the setting shots`;
  expect(shot !== null && typeof shot === "object" && !Array.isArray(shot),
    `${where} is ${quoted(shot)}, expected an object such as {"folder": "SH010/e003"}`);
  const stranger = Object.keys(shot).find((key) => !SHOT_KEYS.includes(key));
  expect(stranger === undefined, `${where} has ${quoted(stranger)}, expected only ${SHOT_KEYS.join(", ")}`);
  const name = String(shot.folder).split("/")[0];
  expect(typeof shot.folder === "string" && FOLDER.test(shot.folder) && !name.endsWith("."),
    `folder of ${where} is ${quoted(shot.folder)}, expected a shot and its export, such as "SH010/e003"`);
  expect(!names.has(name), `${where} is a second ${quoted(name)}, expected each shot once`);
  expect(!shot.base || folders.has(shot.base),
    `base of ${shot.folder} is ${quoted(shot.base)}, expected a folder earlier in the list`);
  expect(shot.gpu === undefined || (Number.isSafeInteger(shot.gpu) && shot.gpu >= 0),
    `gpu of ${shot.folder} is ${quoted(shot.gpu)}, expected a number of bytes, 0 where nobody knows`);
}

function sizesOf(settings) {
  const sizes = textOf(settings, "gpu_sizes").split(/[\s,]+/).filter(Boolean).map(Number);
  expect(sizes.length > 0 && sizes.every((size) => Number.isSafeInteger(size) && size > 0),
    `the setting gpu_sizes is ${quoted(settings.gpu_sizes)}, expected GB of GPUs such as "16 24 48"`);
  return sizes.sort((a, b) => a - b);
}

function taskTypeOf(shot, sizes) {
  if (!shot.gpu) {
    return "wan-gpu";
  }
  const enough = sizes.find((size) => size * GIGABYTE >= shot.gpu);
  expect(enough !== undefined,
    `${shot.folder} needs ${(shot.gpu / GIGABYTE).toFixed(1)} GB on one GPU and the largest of this farm has ` +
    `${sizes[sizes.length - 1]}; render it at a smaller size or precision`);
  return `wan-gpu-${enough}g`;
}

// What runs: the file must come before --command, which takes all that follows for itself.
function blenderTask(name, blendfile, words) {
  const task = author.Task(name, "blender");
  task.addCommand(author.Command("blender-render", {
    exe: "{blender}",
    exeArgs: "{blenderArgs}",
    argsBefore: ["-b"],
    blendfile: blendfile,
    args: ["--python-exit-code", "3", "--command", "wan_animate"].concat(words, ["--progress", "percent"]),
  }));
  return task;
}

function renderTask(shot, root, device, type) {
  const task = author.Task(`render ${shot.folder}`, type);
  task.addCommand(author.Command("exec", {
    exe: "{wanAnimate}",
    args: ["render", root.replace(/[\\/]*$/, "/") + shot.folder, "--resume", "--device", device, "--progress", "percent"],
  }));
  return task;
}

function importTask(settings, blendfile, root) {
  const words = ["import", "--submission", pathOf(settings, "submission"), "--out", root];
  for (const [key, option] of [["save_as", "--save-as"], ["render_edit", "--render-edit"]]) {
    if (textOf(settings, key)) {
      words.push(option, pathOf(settings, key));
    }
  }
  return blenderTask("import", blendfile, words);
}

function deviceOf(settings) {
  const device = textOf(settings, "device") || "cuda";
  expect(["cuda", "cpu"].includes(device), `the setting device is ${quoted(device)}, expected cuda or cpu`);
  return device;
}

// Per shot an export, and after it a render; a shot with a base is exported after the base's render, whose take is its
// plate. A task is handed over when it is complete: Flamenco copies it at that moment.
function compileJob(job) {
  const settings = job.settings;
  const blendfile = pathOf(settings, "blendfile");
  const root = pathOf(settings, "shots_root");
  const device = deviceOf(settings);
  const sizes = sizesOf(settings);
  const renders = new Map();
  const importing = importTask(settings, blendfile, root);
  for (const shot of shotsOf(settings)) {
    const base = shot.base ? ["--base", shot.base] : [];
    const exporting = blenderTask(`export ${shot.folder}`, blendfile,
      ["export", "--shot", shot.folder, "--out", root].concat(base));
    if (shot.base) {
      exporting.addDependency(renders.get(shot.base));
    }
    const rendering = renderTask(shot, root, device, taskTypeOf(shot, sizes));
    rendering.addDependency(exporting);
    importing.addDependency(rendering);
    job.addTask(exporting);
    job.addTask(rendering);
    renders.set(shot.folder, rendering);
  }
  job.addTask(importing);
}
