#!/usr/bin/env node
// Generated from ts/cli/ by `npm run build:ts`. Do not edit.
"use strict";
var __create = Object.create;
var __defProp = Object.defineProperty;
var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __getProtoOf = Object.getPrototypeOf;
var __hasOwnProp = Object.prototype.hasOwnProperty;
var __knownSymbol = (name, symbol) => (symbol = Symbol[name]) ? symbol : /* @__PURE__ */ Symbol.for("Symbol." + name);
var __typeError = (msg) => {
  throw TypeError(msg);
};
var __commonJS = (cb, mod) => function __require() {
  try {
    return mod || (0, cb[__getOwnPropNames(cb)[0]])((mod = { exports: {} }).exports, mod), mod.exports;
  } catch (e) {
    throw mod = 0, e;
  }
};
var __copyProps = (to, from, except, desc) => {
  if (from && typeof from === "object" || typeof from === "function") {
    for (let key of __getOwnPropNames(from))
      if (!__hasOwnProp.call(to, key) && key !== except)
        __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
  }
  return to;
};
var __toESM = (mod, isNodeMode, target) => (target = mod != null ? __create(__getProtoOf(mod)) : {}, __copyProps(
  // If the importer is in node compatibility mode or this is not an ESM
  // file that has been converted to a CommonJS file using a Babel-
  // compatible transform (i.e. "__esModule" has not been set), then set
  // "default" to the CommonJS "module.exports" for node compatibility.
  isNodeMode || !mod || !mod.__esModule ? __defProp(target, "default", { value: mod, enumerable: true }) : target,
  mod
));
var __using = (stack, value, async) => {
  if (value != null) {
    if (typeof value !== "object" && typeof value !== "function") __typeError("Object expected");
    var dispose, inner;
    if (async) dispose = value[__knownSymbol("asyncDispose")];
    if (dispose === void 0) {
      dispose = value[__knownSymbol("dispose")];
      if (async) inner = dispose;
    }
    if (typeof dispose !== "function") __typeError("Object not disposable");
    if (inner) dispose = function() {
      try {
        inner.call(this);
      } catch (e) {
        return Promise.reject(e);
      }
    };
    stack.push([async, dispose, value]);
  } else if (async) {
    stack.push([async]);
  }
  return value;
};
var __callDispose = (stack, error, hasError) => {
  var E = typeof SuppressedError === "function" ? SuppressedError : function(e, s, m, _) {
    return _ = Error(m), _.name = "SuppressedError", _.error = e, _.suppressed = s, _;
  };
  var fail = (e) => error = hasError ? new E(e, error, "An error was suppressed during disposal") : (hasError = true, e);
  var next = (it) => {
    while (it = stack.pop()) {
      try {
        var result = it[1] && it[1].call(it[2]);
        if (it[0]) return Promise.resolve(result).then(next, (e) => (fail(e), next()));
      } catch (e) {
        fail(e);
      }
    }
    if (hasError) throw error;
  };
  return next();
};

// node_modules/commander/lib/error.js
var require_error = __commonJS({
  "node_modules/commander/lib/error.js"(exports2) {
    var CommanderError2 = class extends Error {
      /**
       * Constructs the CommanderError class
       * @param {number} exitCode suggested exit code which could be used with process.exit
       * @param {string} code an id string representing the error
       * @param {string} message human-readable description of the error
       */
      constructor(exitCode, code, message) {
        super(message);
        Error.captureStackTrace(this, this.constructor);
        this.name = this.constructor.name;
        this.code = code;
        this.exitCode = exitCode;
        this.nestedError = void 0;
      }
    };
    var InvalidArgumentError2 = class extends CommanderError2 {
      /**
       * Constructs the InvalidArgumentError class
       * @param {string} [message] explanation of why argument is invalid
       */
      constructor(message) {
        super(1, "commander.invalidArgument", message);
        Error.captureStackTrace(this, this.constructor);
        this.name = this.constructor.name;
      }
    };
    exports2.CommanderError = CommanderError2;
    exports2.InvalidArgumentError = InvalidArgumentError2;
  }
});

// node_modules/commander/lib/argument.js
var require_argument = __commonJS({
  "node_modules/commander/lib/argument.js"(exports2) {
    var { InvalidArgumentError: InvalidArgumentError2 } = require_error();
    var Argument2 = class {
      /**
       * Initialize a new command argument with the given name and description.
       * The default is that the argument is required, and you can explicitly
       * indicate this with <> around the name. Put [] around the name for an optional argument.
       *
       * @param {string} name
       * @param {string} [description]
       */
      constructor(name, description) {
        this.description = description || "";
        this.variadic = false;
        this.parseArg = void 0;
        this.defaultValue = void 0;
        this.defaultValueDescription = void 0;
        this.argChoices = void 0;
        switch (name[0]) {
          case "<":
            this.required = true;
            this._name = name.slice(1, -1);
            break;
          case "[":
            this.required = false;
            this._name = name.slice(1, -1);
            break;
          default:
            this.required = true;
            this._name = name;
            break;
        }
        if (this._name.endsWith("...")) {
          this.variadic = true;
          this._name = this._name.slice(0, -3);
        }
      }
      /**
       * Return argument name.
       *
       * @return {string}
       */
      name() {
        return this._name;
      }
      /**
       * @package
       */
      _collectValue(value, previous) {
        if (previous === this.defaultValue || !Array.isArray(previous)) {
          return [value];
        }
        previous.push(value);
        return previous;
      }
      /**
       * Set the default value, and optionally supply the description to be displayed in the help.
       *
       * @param {*} value
       * @param {string} [description]
       * @return {Argument}
       */
      default(value, description) {
        this.defaultValue = value;
        this.defaultValueDescription = description;
        return this;
      }
      /**
       * Set the custom handler for processing CLI command arguments into argument values.
       *
       * @param {Function} [fn]
       * @return {Argument}
       */
      argParser(fn) {
        this.parseArg = fn;
        return this;
      }
      /**
       * Only allow argument value to be one of choices.
       *
       * @param {string[]} values
       * @return {Argument}
       */
      choices(values) {
        this.argChoices = values.slice();
        this.parseArg = (arg, previous) => {
          if (!this.argChoices.includes(arg)) {
            throw new InvalidArgumentError2(
              `Allowed choices are ${this.argChoices.join(", ")}.`
            );
          }
          if (this.variadic) {
            return this._collectValue(arg, previous);
          }
          return arg;
        };
        return this;
      }
      /**
       * Make argument required.
       *
       * @returns {Argument}
       */
      argRequired() {
        this.required = true;
        return this;
      }
      /**
       * Make argument optional.
       *
       * @returns {Argument}
       */
      argOptional() {
        this.required = false;
        return this;
      }
    };
    function humanReadableArgName(arg) {
      const nameOutput = arg.name() + (arg.variadic === true ? "..." : "");
      return arg.required ? "<" + nameOutput + ">" : "[" + nameOutput + "]";
    }
    exports2.Argument = Argument2;
    exports2.humanReadableArgName = humanReadableArgName;
  }
});

// node_modules/commander/lib/help.js
var require_help = __commonJS({
  "node_modules/commander/lib/help.js"(exports2) {
    var { humanReadableArgName } = require_argument();
    var Help2 = class {
      constructor() {
        this.helpWidth = void 0;
        this.minWidthToWrap = 40;
        this.sortSubcommands = false;
        this.sortOptions = false;
        this.showGlobalOptions = false;
      }
      /**
       * prepareContext is called by Commander after applying overrides from `Command.configureHelp()`
       * and just before calling `formatHelp()`.
       *
       * Commander just uses the helpWidth and the rest is provided for optional use by more complex subclasses.
       *
       * @param {{ error?: boolean, helpWidth?: number, outputHasColors?: boolean }} contextOptions
       */
      prepareContext(contextOptions) {
        this.helpWidth = this.helpWidth ?? contextOptions.helpWidth ?? 80;
      }
      /**
       * Get an array of the visible subcommands. Includes a placeholder for the implicit help command, if there is one.
       *
       * @param {Command} cmd
       * @returns {Command[]}
       */
      visibleCommands(cmd) {
        const visibleCommands = cmd.commands.filter((cmd2) => !cmd2._hidden);
        const helpCommand = cmd._getHelpCommand();
        if (helpCommand && !helpCommand._hidden) {
          visibleCommands.push(helpCommand);
        }
        if (this.sortSubcommands) {
          visibleCommands.sort((a, b) => {
            return a.name().localeCompare(b.name());
          });
        }
        return visibleCommands;
      }
      /**
       * Compare options for sort.
       *
       * @param {Option} a
       * @param {Option} b
       * @returns {number}
       */
      compareOptions(a, b) {
        const getSortKey = (option) => {
          return option.short ? option.short.replace(/^-/, "") : option.long.replace(/^--/, "");
        };
        return getSortKey(a).localeCompare(getSortKey(b));
      }
      /**
       * Get an array of the visible options. Includes a placeholder for the implicit help option, if there is one.
       *
       * @param {Command} cmd
       * @returns {Option[]}
       */
      visibleOptions(cmd) {
        const visibleOptions = cmd.options.filter((option) => !option.hidden);
        const helpOption = cmd._getHelpOption();
        if (helpOption && !helpOption.hidden) {
          const removeShort = helpOption.short && cmd._findOption(helpOption.short);
          const removeLong = helpOption.long && cmd._findOption(helpOption.long);
          if (!removeShort && !removeLong) {
            visibleOptions.push(helpOption);
          } else if (helpOption.long && !removeLong) {
            visibleOptions.push(
              cmd.createOption(helpOption.long, helpOption.description)
            );
          } else if (helpOption.short && !removeShort) {
            visibleOptions.push(
              cmd.createOption(helpOption.short, helpOption.description)
            );
          }
        }
        if (this.sortOptions) {
          visibleOptions.sort(this.compareOptions);
        }
        return visibleOptions;
      }
      /**
       * Get an array of the visible global options. (Not including help.)
       *
       * @param {Command} cmd
       * @returns {Option[]}
       */
      visibleGlobalOptions(cmd) {
        if (!this.showGlobalOptions) return [];
        const globalOptions = [];
        for (let ancestorCmd = cmd.parent; ancestorCmd; ancestorCmd = ancestorCmd.parent) {
          const visibleOptions = ancestorCmd.options.filter(
            (option) => !option.hidden
          );
          globalOptions.push(...visibleOptions);
        }
        if (this.sortOptions) {
          globalOptions.sort(this.compareOptions);
        }
        return globalOptions;
      }
      /**
       * Get an array of the arguments if any have a description.
       *
       * @param {Command} cmd
       * @returns {Argument[]}
       */
      visibleArguments(cmd) {
        if (cmd._argsDescription) {
          cmd.registeredArguments.forEach((argument) => {
            argument.description = argument.description || cmd._argsDescription[argument.name()] || "";
          });
        }
        if (cmd.registeredArguments.find((argument) => argument.description)) {
          return cmd.registeredArguments;
        }
        return [];
      }
      /**
       * Get the command term to show in the list of subcommands.
       *
       * @param {Command} cmd
       * @returns {string}
       */
      subcommandTerm(cmd) {
        const args = cmd.registeredArguments.map((arg) => humanReadableArgName(arg)).join(" ");
        return cmd._name + (cmd._aliases[0] ? "|" + cmd._aliases[0] : "") + (cmd.options.length ? " [options]" : "") + // simplistic check for non-help option
        (args ? " " + args : "");
      }
      /**
       * Get the option term to show in the list of options.
       *
       * @param {Option} option
       * @returns {string}
       */
      optionTerm(option) {
        return option.flags;
      }
      /**
       * Get the argument term to show in the list of arguments.
       *
       * @param {Argument} argument
       * @returns {string}
       */
      argumentTerm(argument) {
        return argument.name();
      }
      /**
       * Get the longest command term length.
       *
       * @param {Command} cmd
       * @param {Help} helper
       * @returns {number}
       */
      longestSubcommandTermLength(cmd, helper) {
        return helper.visibleCommands(cmd).reduce((max, command) => {
          return Math.max(
            max,
            this.displayWidth(
              helper.styleSubcommandTerm(helper.subcommandTerm(command))
            )
          );
        }, 0);
      }
      /**
       * Get the longest option term length.
       *
       * @param {Command} cmd
       * @param {Help} helper
       * @returns {number}
       */
      longestOptionTermLength(cmd, helper) {
        return helper.visibleOptions(cmd).reduce((max, option) => {
          return Math.max(
            max,
            this.displayWidth(helper.styleOptionTerm(helper.optionTerm(option)))
          );
        }, 0);
      }
      /**
       * Get the longest global option term length.
       *
       * @param {Command} cmd
       * @param {Help} helper
       * @returns {number}
       */
      longestGlobalOptionTermLength(cmd, helper) {
        return helper.visibleGlobalOptions(cmd).reduce((max, option) => {
          return Math.max(
            max,
            this.displayWidth(helper.styleOptionTerm(helper.optionTerm(option)))
          );
        }, 0);
      }
      /**
       * Get the longest argument term length.
       *
       * @param {Command} cmd
       * @param {Help} helper
       * @returns {number}
       */
      longestArgumentTermLength(cmd, helper) {
        return helper.visibleArguments(cmd).reduce((max, argument) => {
          return Math.max(
            max,
            this.displayWidth(
              helper.styleArgumentTerm(helper.argumentTerm(argument))
            )
          );
        }, 0);
      }
      /**
       * Get the command usage to be displayed at the top of the built-in help.
       *
       * @param {Command} cmd
       * @returns {string}
       */
      commandUsage(cmd) {
        let cmdName = cmd._name;
        if (cmd._aliases[0]) {
          cmdName = cmdName + "|" + cmd._aliases[0];
        }
        let ancestorCmdNames = "";
        for (let ancestorCmd = cmd.parent; ancestorCmd; ancestorCmd = ancestorCmd.parent) {
          ancestorCmdNames = ancestorCmd.name() + " " + ancestorCmdNames;
        }
        return ancestorCmdNames + cmdName + " " + cmd.usage();
      }
      /**
       * Get the description for the command.
       *
       * @param {Command} cmd
       * @returns {string}
       */
      commandDescription(cmd) {
        return cmd.description();
      }
      /**
       * Get the subcommand summary to show in the list of subcommands.
       * (Fallback to description for backwards compatibility.)
       *
       * @param {Command} cmd
       * @returns {string}
       */
      subcommandDescription(cmd) {
        return cmd.summary() || cmd.description();
      }
      /**
       * Get the option description to show in the list of options.
       *
       * @param {Option} option
       * @return {string}
       */
      optionDescription(option) {
        const extraInfo = [];
        if (option.argChoices) {
          extraInfo.push(
            // use stringify to match the display of the default value
            `choices: ${option.argChoices.map((choice) => JSON.stringify(choice)).join(", ")}`
          );
        }
        if (option.defaultValue !== void 0) {
          const showDefault = option.required || option.optional || option.isBoolean() && typeof option.defaultValue === "boolean";
          if (showDefault) {
            extraInfo.push(
              `default: ${option.defaultValueDescription || JSON.stringify(option.defaultValue)}`
            );
          }
        }
        if (option.presetArg !== void 0 && option.optional) {
          extraInfo.push(`preset: ${JSON.stringify(option.presetArg)}`);
        }
        if (option.envVar !== void 0) {
          extraInfo.push(`env: ${option.envVar}`);
        }
        if (extraInfo.length > 0) {
          const extraDescription = `(${extraInfo.join(", ")})`;
          if (option.description) {
            return `${option.description} ${extraDescription}`;
          }
          return extraDescription;
        }
        return option.description;
      }
      /**
       * Get the argument description to show in the list of arguments.
       *
       * @param {Argument} argument
       * @return {string}
       */
      argumentDescription(argument) {
        const extraInfo = [];
        if (argument.argChoices) {
          extraInfo.push(
            // use stringify to match the display of the default value
            `choices: ${argument.argChoices.map((choice) => JSON.stringify(choice)).join(", ")}`
          );
        }
        if (argument.defaultValue !== void 0) {
          extraInfo.push(
            `default: ${argument.defaultValueDescription || JSON.stringify(argument.defaultValue)}`
          );
        }
        if (extraInfo.length > 0) {
          const extraDescription = `(${extraInfo.join(", ")})`;
          if (argument.description) {
            return `${argument.description} ${extraDescription}`;
          }
          return extraDescription;
        }
        return argument.description;
      }
      /**
       * Format a list of items, given a heading and an array of formatted items.
       *
       * @param {string} heading
       * @param {string[]} items
       * @param {Help} helper
       * @returns string[]
       */
      formatItemList(heading, items, helper) {
        if (items.length === 0) return [];
        return [helper.styleTitle(heading), ...items, ""];
      }
      /**
       * Group items by their help group heading.
       *
       * @param {Command[] | Option[]} unsortedItems
       * @param {Command[] | Option[]} visibleItems
       * @param {Function} getGroup
       * @returns {Map<string, Command[] | Option[]>}
       */
      groupItems(unsortedItems, visibleItems, getGroup) {
        const result = /* @__PURE__ */ new Map();
        unsortedItems.forEach((item) => {
          const group = getGroup(item);
          if (!result.has(group)) result.set(group, []);
        });
        visibleItems.forEach((item) => {
          const group = getGroup(item);
          if (!result.has(group)) {
            result.set(group, []);
          }
          result.get(group).push(item);
        });
        return result;
      }
      /**
       * Generate the built-in help text.
       *
       * @param {Command} cmd
       * @param {Help} helper
       * @returns {string}
       */
      formatHelp(cmd, helper) {
        const termWidth = helper.padWidth(cmd, helper);
        const helpWidth = helper.helpWidth ?? 80;
        function callFormatItem(term, description) {
          return helper.formatItem(term, termWidth, description, helper);
        }
        let output = [
          `${helper.styleTitle("Usage:")} ${helper.styleUsage(helper.commandUsage(cmd))}`,
          ""
        ];
        const commandDescription = helper.commandDescription(cmd);
        if (commandDescription.length > 0) {
          output = output.concat([
            helper.boxWrap(
              helper.styleCommandDescription(commandDescription),
              helpWidth
            ),
            ""
          ]);
        }
        const argumentList = helper.visibleArguments(cmd).map((argument) => {
          return callFormatItem(
            helper.styleArgumentTerm(helper.argumentTerm(argument)),
            helper.styleArgumentDescription(helper.argumentDescription(argument))
          );
        });
        output = output.concat(
          this.formatItemList("Arguments:", argumentList, helper)
        );
        const optionGroups = this.groupItems(
          cmd.options,
          helper.visibleOptions(cmd),
          (option) => option.helpGroupHeading ?? "Options:"
        );
        optionGroups.forEach((options, group) => {
          const optionList = options.map((option) => {
            return callFormatItem(
              helper.styleOptionTerm(helper.optionTerm(option)),
              helper.styleOptionDescription(helper.optionDescription(option))
            );
          });
          output = output.concat(this.formatItemList(group, optionList, helper));
        });
        if (helper.showGlobalOptions) {
          const globalOptionList = helper.visibleGlobalOptions(cmd).map((option) => {
            return callFormatItem(
              helper.styleOptionTerm(helper.optionTerm(option)),
              helper.styleOptionDescription(helper.optionDescription(option))
            );
          });
          output = output.concat(
            this.formatItemList("Global Options:", globalOptionList, helper)
          );
        }
        const commandGroups = this.groupItems(
          cmd.commands,
          helper.visibleCommands(cmd),
          (sub) => sub.helpGroup() || "Commands:"
        );
        commandGroups.forEach((commands, group) => {
          const commandList = commands.map((sub) => {
            return callFormatItem(
              helper.styleSubcommandTerm(helper.subcommandTerm(sub)),
              helper.styleSubcommandDescription(helper.subcommandDescription(sub))
            );
          });
          output = output.concat(this.formatItemList(group, commandList, helper));
        });
        return output.join("\n");
      }
      /**
       * Return display width of string, ignoring ANSI escape sequences. Used in padding and wrapping calculations.
       *
       * @param {string} str
       * @returns {number}
       */
      displayWidth(str) {
        return stripColor(str).length;
      }
      /**
       * Style the title for displaying in the help. Called with 'Usage:', 'Options:', etc.
       *
       * @param {string} str
       * @returns {string}
       */
      styleTitle(str) {
        return str;
      }
      styleUsage(str) {
        return str.split(" ").map((word) => {
          if (word === "[options]") return this.styleOptionText(word);
          if (word === "[command]") return this.styleSubcommandText(word);
          if (word[0] === "[" || word[0] === "<")
            return this.styleArgumentText(word);
          return this.styleCommandText(word);
        }).join(" ");
      }
      styleCommandDescription(str) {
        return this.styleDescriptionText(str);
      }
      styleOptionDescription(str) {
        return this.styleDescriptionText(str);
      }
      styleSubcommandDescription(str) {
        return this.styleDescriptionText(str);
      }
      styleArgumentDescription(str) {
        return this.styleDescriptionText(str);
      }
      styleDescriptionText(str) {
        return str;
      }
      styleOptionTerm(str) {
        return this.styleOptionText(str);
      }
      styleSubcommandTerm(str) {
        return str.split(" ").map((word) => {
          if (word === "[options]") return this.styleOptionText(word);
          if (word[0] === "[" || word[0] === "<")
            return this.styleArgumentText(word);
          return this.styleSubcommandText(word);
        }).join(" ");
      }
      styleArgumentTerm(str) {
        return this.styleArgumentText(str);
      }
      styleOptionText(str) {
        return str;
      }
      styleArgumentText(str) {
        return str;
      }
      styleSubcommandText(str) {
        return str;
      }
      styleCommandText(str) {
        return str;
      }
      /**
       * Calculate the pad width from the maximum term length.
       *
       * @param {Command} cmd
       * @param {Help} helper
       * @returns {number}
       */
      padWidth(cmd, helper) {
        return Math.max(
          helper.longestOptionTermLength(cmd, helper),
          helper.longestGlobalOptionTermLength(cmd, helper),
          helper.longestSubcommandTermLength(cmd, helper),
          helper.longestArgumentTermLength(cmd, helper)
        );
      }
      /**
       * Detect manually wrapped and indented strings by checking for line break followed by whitespace.
       *
       * @param {string} str
       * @returns {boolean}
       */
      preformatted(str) {
        return /\n[^\S\r\n]/.test(str);
      }
      /**
       * Format the "item", which consists of a term and description. Pad the term and wrap the description, indenting the following lines.
       *
       * So "TTT", 5, "DDD DDDD DD DDD" might be formatted for this.helpWidth=17 like so:
       *   TTT  DDD DDDD
       *        DD DDD
       *
       * @param {string} term
       * @param {number} termWidth
       * @param {string} description
       * @param {Help} helper
       * @returns {string}
       */
      formatItem(term, termWidth, description, helper) {
        const itemIndent = 2;
        const itemIndentStr = " ".repeat(itemIndent);
        if (!description) return itemIndentStr + term;
        const paddedTerm = term.padEnd(
          termWidth + term.length - helper.displayWidth(term)
        );
        const spacerWidth = 2;
        const helpWidth = this.helpWidth ?? 80;
        const remainingWidth = helpWidth - termWidth - spacerWidth - itemIndent;
        let formattedDescription;
        if (remainingWidth < this.minWidthToWrap || helper.preformatted(description)) {
          formattedDescription = description;
        } else {
          const wrappedDescription = helper.boxWrap(description, remainingWidth);
          formattedDescription = wrappedDescription.replace(
            /\n/g,
            "\n" + " ".repeat(termWidth + spacerWidth)
          );
        }
        return itemIndentStr + paddedTerm + " ".repeat(spacerWidth) + formattedDescription.replace(/\n/g, `
${itemIndentStr}`);
      }
      /**
       * Wrap a string at whitespace, preserving existing line breaks.
       * Wrapping is skipped if the width is less than `minWidthToWrap`.
       *
       * @param {string} str
       * @param {number} width
       * @returns {string}
       */
      boxWrap(str, width) {
        if (width < this.minWidthToWrap) return str;
        const rawLines = str.split(/\r\n|\n/);
        const chunkPattern = /[\s]*[^\s]+/g;
        const wrappedLines = [];
        rawLines.forEach((line) => {
          const chunks = line.match(chunkPattern);
          if (chunks === null) {
            wrappedLines.push("");
            return;
          }
          let sumChunks = [chunks.shift()];
          let sumWidth = this.displayWidth(sumChunks[0]);
          chunks.forEach((chunk) => {
            const visibleWidth = this.displayWidth(chunk);
            if (sumWidth + visibleWidth <= width) {
              sumChunks.push(chunk);
              sumWidth += visibleWidth;
              return;
            }
            wrappedLines.push(sumChunks.join(""));
            const nextChunk = chunk.trimStart();
            sumChunks = [nextChunk];
            sumWidth = this.displayWidth(nextChunk);
          });
          wrappedLines.push(sumChunks.join(""));
        });
        return wrappedLines.join("\n");
      }
    };
    function stripColor(str) {
      const sgrPattern = /\x1b\[\d*(;\d*)*m/g;
      return str.replace(sgrPattern, "");
    }
    exports2.Help = Help2;
    exports2.stripColor = stripColor;
  }
});

// node_modules/commander/lib/option.js
var require_option = __commonJS({
  "node_modules/commander/lib/option.js"(exports2) {
    var { InvalidArgumentError: InvalidArgumentError2 } = require_error();
    var Option2 = class {
      /**
       * Initialize a new `Option` with the given `flags` and `description`.
       *
       * @param {string} flags
       * @param {string} [description]
       */
      constructor(flags2, description) {
        this.flags = flags2;
        this.description = description || "";
        this.required = flags2.includes("<");
        this.optional = flags2.includes("[");
        this.variadic = /\w\.\.\.[>\]]$/.test(flags2);
        this.mandatory = false;
        const optionFlags = splitOptionFlags(flags2);
        this.short = optionFlags.shortFlag;
        this.long = optionFlags.longFlag;
        this.negate = false;
        if (this.long) {
          this.negate = this.long.startsWith("--no-");
        }
        this.defaultValue = void 0;
        this.defaultValueDescription = void 0;
        this.presetArg = void 0;
        this.envVar = void 0;
        this.parseArg = void 0;
        this.hidden = false;
        this.argChoices = void 0;
        this.conflictsWith = [];
        this.implied = void 0;
        this.helpGroupHeading = void 0;
      }
      /**
       * Set the default value, and optionally supply the description to be displayed in the help.
       *
       * @param {*} value
       * @param {string} [description]
       * @return {Option}
       */
      default(value, description) {
        this.defaultValue = value;
        this.defaultValueDescription = description;
        return this;
      }
      /**
       * Preset to use when option used without option-argument, especially optional but also boolean and negated.
       * The custom processing (parseArg) is called.
       *
       * @example
       * new Option('--color').default('GREYSCALE').preset('RGB');
       * new Option('--donate [amount]').preset('20').argParser(parseFloat);
       *
       * @param {*} arg
       * @return {Option}
       */
      preset(arg) {
        this.presetArg = arg;
        return this;
      }
      /**
       * Add option name(s) that conflict with this option.
       * An error will be displayed if conflicting options are found during parsing.
       *
       * @example
       * new Option('--rgb').conflicts('cmyk');
       * new Option('--js').conflicts(['ts', 'jsx']);
       *
       * @param {(string | string[])} names
       * @return {Option}
       */
      conflicts(names) {
        this.conflictsWith = this.conflictsWith.concat(names);
        return this;
      }
      /**
       * Specify implied option values for when this option is set and the implied options are not.
       *
       * The custom processing (parseArg) is not called on the implied values.
       *
       * @example
       * program
       *   .addOption(new Option('--log', 'write logging information to file'))
       *   .addOption(new Option('--trace', 'log extra details').implies({ log: 'trace.txt' }));
       *
       * @param {object} impliedOptionValues
       * @return {Option}
       */
      implies(impliedOptionValues) {
        let newImplied = impliedOptionValues;
        if (typeof impliedOptionValues === "string") {
          newImplied = { [impliedOptionValues]: true };
        }
        this.implied = Object.assign(this.implied || {}, newImplied);
        return this;
      }
      /**
       * Set environment variable to check for option value.
       *
       * An environment variable is only used if when processed the current option value is
       * undefined, or the source of the current value is 'default' or 'config' or 'env'.
       *
       * @param {string} name
       * @return {Option}
       */
      env(name) {
        this.envVar = name;
        return this;
      }
      /**
       * Set the custom handler for processing CLI option arguments into option values.
       *
       * @param {Function} [fn]
       * @return {Option}
       */
      argParser(fn) {
        this.parseArg = fn;
        return this;
      }
      /**
       * Whether the option is mandatory and must have a value after parsing.
       *
       * @param {boolean} [mandatory=true]
       * @return {Option}
       */
      makeOptionMandatory(mandatory = true) {
        this.mandatory = !!mandatory;
        return this;
      }
      /**
       * Hide option in help.
       *
       * @param {boolean} [hide=true]
       * @return {Option}
       */
      hideHelp(hide = true) {
        this.hidden = !!hide;
        return this;
      }
      /**
       * @package
       */
      _collectValue(value, previous) {
        if (previous === this.defaultValue || !Array.isArray(previous)) {
          return [value];
        }
        previous.push(value);
        return previous;
      }
      /**
       * Only allow option value to be one of choices.
       *
       * @param {string[]} values
       * @return {Option}
       */
      choices(values) {
        this.argChoices = values.slice();
        this.parseArg = (arg, previous) => {
          if (!this.argChoices.includes(arg)) {
            throw new InvalidArgumentError2(
              `Allowed choices are ${this.argChoices.join(", ")}.`
            );
          }
          if (this.variadic) {
            return this._collectValue(arg, previous);
          }
          return arg;
        };
        return this;
      }
      /**
       * Return option name.
       *
       * @return {string}
       */
      name() {
        if (this.long) {
          return this.long.replace(/^--/, "");
        }
        return this.short.replace(/^-/, "");
      }
      /**
       * Return option name, in a camelcase format that can be used
       * as an object attribute key.
       *
       * @return {string}
       */
      attributeName() {
        if (this.negate) {
          return camelcase(this.name().replace(/^no-/, ""));
        }
        return camelcase(this.name());
      }
      /**
       * Set the help group heading.
       *
       * @param {string} heading
       * @return {Option}
       */
      helpGroup(heading) {
        this.helpGroupHeading = heading;
        return this;
      }
      /**
       * Check if `arg` matches the short or long flag.
       *
       * @param {string} arg
       * @return {boolean}
       * @package
       */
      is(arg) {
        return this.short === arg || this.long === arg;
      }
      /**
       * Return whether a boolean option.
       *
       * Options are one of boolean, negated, required argument, or optional argument.
       *
       * @return {boolean}
       * @package
       */
      isBoolean() {
        return !this.required && !this.optional && !this.negate;
      }
    };
    var DualOptions = class {
      /**
       * @param {Option[]} options
       */
      constructor(options) {
        this.positiveOptions = /* @__PURE__ */ new Map();
        this.negativeOptions = /* @__PURE__ */ new Map();
        this.dualOptions = /* @__PURE__ */ new Set();
        options.forEach((option) => {
          if (option.negate) {
            this.negativeOptions.set(option.attributeName(), option);
          } else {
            this.positiveOptions.set(option.attributeName(), option);
          }
        });
        this.negativeOptions.forEach((value, key) => {
          if (this.positiveOptions.has(key)) {
            this.dualOptions.add(key);
          }
        });
      }
      /**
       * Did the value come from the option, and not from possible matching dual option?
       *
       * @param {*} value
       * @param {Option} option
       * @returns {boolean}
       */
      valueFromOption(value, option) {
        const optionKey = option.attributeName();
        if (!this.dualOptions.has(optionKey)) return true;
        const preset = this.negativeOptions.get(optionKey).presetArg;
        const negativeValue = preset !== void 0 ? preset : false;
        return option.negate === (negativeValue === value);
      }
    };
    function camelcase(str) {
      return str.split("-").reduce((str2, word) => {
        return str2 + word[0].toUpperCase() + word.slice(1);
      });
    }
    function splitOptionFlags(flags2) {
      let shortFlag;
      let longFlag;
      const shortFlagExp = /^-[^-]$/;
      const longFlagExp = /^--[^-]/;
      const flagParts = flags2.split(/[ |,]+/).concat("guard");
      if (shortFlagExp.test(flagParts[0])) shortFlag = flagParts.shift();
      if (longFlagExp.test(flagParts[0])) longFlag = flagParts.shift();
      if (!shortFlag && shortFlagExp.test(flagParts[0]))
        shortFlag = flagParts.shift();
      if (!shortFlag && longFlagExp.test(flagParts[0])) {
        shortFlag = longFlag;
        longFlag = flagParts.shift();
      }
      if (flagParts[0].startsWith("-")) {
        const unsupportedFlag = flagParts[0];
        const baseError = `option creation failed due to '${unsupportedFlag}' in option flags '${flags2}'`;
        if (/^-[^-][^-]/.test(unsupportedFlag))
          throw new Error(
            `${baseError}
- a short flag is a single dash and a single character
  - either use a single dash and a single character (for a short flag)
  - or use a double dash for a long option (and can have two, like '--ws, --workspace')`
          );
        if (shortFlagExp.test(unsupportedFlag))
          throw new Error(`${baseError}
- too many short flags`);
        if (longFlagExp.test(unsupportedFlag))
          throw new Error(`${baseError}
- too many long flags`);
        throw new Error(`${baseError}
- unrecognised flag format`);
      }
      if (shortFlag === void 0 && longFlag === void 0)
        throw new Error(
          `option creation failed due to no flags found in '${flags2}'.`
        );
      return { shortFlag, longFlag };
    }
    exports2.Option = Option2;
    exports2.DualOptions = DualOptions;
  }
});

// node_modules/commander/lib/suggestSimilar.js
var require_suggestSimilar = __commonJS({
  "node_modules/commander/lib/suggestSimilar.js"(exports2) {
    var maxDistance = 3;
    function editDistance(a, b) {
      if (Math.abs(a.length - b.length) > maxDistance)
        return Math.max(a.length, b.length);
      const d = [];
      for (let i = 0; i <= a.length; i++) {
        d[i] = [i];
      }
      for (let j = 0; j <= b.length; j++) {
        d[0][j] = j;
      }
      for (let j = 1; j <= b.length; j++) {
        for (let i = 1; i <= a.length; i++) {
          let cost = 1;
          if (a[i - 1] === b[j - 1]) {
            cost = 0;
          } else {
            cost = 1;
          }
          d[i][j] = Math.min(
            d[i - 1][j] + 1,
            // deletion
            d[i][j - 1] + 1,
            // insertion
            d[i - 1][j - 1] + cost
            // substitution
          );
          if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
            d[i][j] = Math.min(d[i][j], d[i - 2][j - 2] + 1);
          }
        }
      }
      return d[a.length][b.length];
    }
    function suggestSimilar(word, candidates) {
      if (!candidates || candidates.length === 0) return "";
      candidates = Array.from(new Set(candidates));
      const searchingOptions = word.startsWith("--");
      if (searchingOptions) {
        word = word.slice(2);
        candidates = candidates.map((candidate) => candidate.slice(2));
      }
      let similar = [];
      let bestDistance = maxDistance;
      const minSimilarity = 0.4;
      candidates.forEach((candidate) => {
        if (candidate.length <= 1) return;
        const distance = editDistance(word, candidate);
        const length = Math.max(word.length, candidate.length);
        const similarity = (length - distance) / length;
        if (similarity > minSimilarity) {
          if (distance < bestDistance) {
            bestDistance = distance;
            similar = [candidate];
          } else if (distance === bestDistance) {
            similar.push(candidate);
          }
        }
      });
      similar.sort((a, b) => a.localeCompare(b));
      if (searchingOptions) {
        similar = similar.map((candidate) => `--${candidate}`);
      }
      if (similar.length > 1) {
        return `
(Did you mean one of ${similar.join(", ")}?)`;
      }
      if (similar.length === 1) {
        return `
(Did you mean ${similar[0]}?)`;
      }
      return "";
    }
    exports2.suggestSimilar = suggestSimilar;
  }
});

// node_modules/commander/lib/command.js
var require_command = __commonJS({
  "node_modules/commander/lib/command.js"(exports2) {
    var EventEmitter = require("node:events").EventEmitter;
    var childProcess = require("node:child_process");
    var path = require("node:path");
    var fs = require("node:fs");
    var process2 = require("node:process");
    var { Argument: Argument2, humanReadableArgName } = require_argument();
    var { CommanderError: CommanderError2 } = require_error();
    var { Help: Help2, stripColor } = require_help();
    var { Option: Option2, DualOptions } = require_option();
    var { suggestSimilar } = require_suggestSimilar();
    var Command2 = class _Command extends EventEmitter {
      /**
       * Initialize a new `Command`.
       *
       * @param {string} [name]
       */
      constructor(name) {
        super();
        this.commands = [];
        this.options = [];
        this.parent = null;
        this._allowUnknownOption = false;
        this._allowExcessArguments = false;
        this.registeredArguments = [];
        this._args = this.registeredArguments;
        this.args = [];
        this.rawArgs = [];
        this.processedArgs = [];
        this._scriptPath = null;
        this._name = name || "";
        this._optionValues = {};
        this._optionValueSources = {};
        this._storeOptionsAsProperties = false;
        this._actionHandler = null;
        this._executableHandler = false;
        this._executableFile = null;
        this._executableDir = null;
        this._defaultCommandName = null;
        this._exitCallback = null;
        this._aliases = [];
        this._combineFlagAndOptionalValue = true;
        this._description = "";
        this._summary = "";
        this._argsDescription = void 0;
        this._enablePositionalOptions = false;
        this._passThroughOptions = false;
        this._lifeCycleHooks = {};
        this._showHelpAfterError = false;
        this._showSuggestionAfterError = true;
        this._savedState = null;
        this._outputConfiguration = {
          writeOut: (str) => process2.stdout.write(str),
          writeErr: (str) => process2.stderr.write(str),
          outputError: (str, write) => write(str),
          getOutHelpWidth: () => process2.stdout.isTTY ? process2.stdout.columns : void 0,
          getErrHelpWidth: () => process2.stderr.isTTY ? process2.stderr.columns : void 0,
          getOutHasColors: () => useColor() ?? (process2.stdout.isTTY && process2.stdout.hasColors?.()),
          getErrHasColors: () => useColor() ?? (process2.stderr.isTTY && process2.stderr.hasColors?.()),
          stripColor: (str) => stripColor(str)
        };
        this._hidden = false;
        this._helpOption = void 0;
        this._addImplicitHelpCommand = void 0;
        this._helpCommand = void 0;
        this._helpConfiguration = {};
        this._helpGroupHeading = void 0;
        this._defaultCommandGroup = void 0;
        this._defaultOptionGroup = void 0;
      }
      /**
       * Copy settings that are useful to have in common across root command and subcommands.
       *
       * (Used internally when adding a command using `.command()` so subcommands inherit parent settings.)
       *
       * @param {Command} sourceCommand
       * @return {Command} `this` command for chaining
       */
      copyInheritedSettings(sourceCommand) {
        this._outputConfiguration = sourceCommand._outputConfiguration;
        this._helpOption = sourceCommand._helpOption;
        this._helpCommand = sourceCommand._helpCommand;
        this._helpConfiguration = sourceCommand._helpConfiguration;
        this._exitCallback = sourceCommand._exitCallback;
        this._storeOptionsAsProperties = sourceCommand._storeOptionsAsProperties;
        this._combineFlagAndOptionalValue = sourceCommand._combineFlagAndOptionalValue;
        this._allowExcessArguments = sourceCommand._allowExcessArguments;
        this._enablePositionalOptions = sourceCommand._enablePositionalOptions;
        this._showHelpAfterError = sourceCommand._showHelpAfterError;
        this._showSuggestionAfterError = sourceCommand._showSuggestionAfterError;
        return this;
      }
      /**
       * @returns {Command[]}
       * @private
       */
      _getCommandAndAncestors() {
        const result = [];
        for (let command = this; command; command = command.parent) {
          result.push(command);
        }
        return result;
      }
      /**
       * Define a command.
       *
       * There are two styles of command: pay attention to where to put the description.
       *
       * @example
       * // Command implemented using action handler (description is supplied separately to `.command`)
       * program
       *   .command('clone <source> [destination]')
       *   .description('clone a repository into a newly created directory')
       *   .action((source, destination) => {
       *     console.log('clone command called');
       *   });
       *
       * // Command implemented using separate executable file (description is second parameter to `.command`)
       * program
       *   .command('start <service>', 'start named service')
       *   .command('stop [service]', 'stop named service, or all if no name supplied');
       *
       * @param {string} nameAndArgs - command name and arguments, args are `<required>` or `[optional]` and last may also be `variadic...`
       * @param {(object | string)} [actionOptsOrExecDesc] - configuration options (for action), or description (for executable)
       * @param {object} [execOpts] - configuration options (for executable)
       * @return {Command} returns new command for action handler, or `this` for executable command
       */
      command(nameAndArgs, actionOptsOrExecDesc, execOpts) {
        let desc = actionOptsOrExecDesc;
        let opts = execOpts;
        if (typeof desc === "object" && desc !== null) {
          opts = desc;
          desc = null;
        }
        opts = opts || {};
        const [, name, args] = nameAndArgs.match(/([^ ]+) *(.*)/);
        const cmd = this.createCommand(name);
        if (desc) {
          cmd.description(desc);
          cmd._executableHandler = true;
        }
        if (opts.isDefault) this._defaultCommandName = cmd._name;
        cmd._hidden = !!(opts.noHelp || opts.hidden);
        cmd._executableFile = opts.executableFile || null;
        if (args) cmd.arguments(args);
        this._registerCommand(cmd);
        cmd.parent = this;
        cmd.copyInheritedSettings(this);
        if (desc) return this;
        return cmd;
      }
      /**
       * Factory routine to create a new unattached command.
       *
       * See .command() for creating an attached subcommand, which uses this routine to
       * create the command. You can override createCommand to customise subcommands.
       *
       * @param {string} [name]
       * @return {Command} new command
       */
      createCommand(name) {
        return new _Command(name);
      }
      /**
       * You can customise the help with a subclass of Help by overriding createHelp,
       * or by overriding Help properties using configureHelp().
       *
       * @return {Help}
       */
      createHelp() {
        return Object.assign(new Help2(), this.configureHelp());
      }
      /**
       * You can customise the help by overriding Help properties using configureHelp(),
       * or with a subclass of Help by overriding createHelp().
       *
       * @param {object} [configuration] - configuration options
       * @return {(Command | object)} `this` command for chaining, or stored configuration
       */
      configureHelp(configuration) {
        if (configuration === void 0) return this._helpConfiguration;
        this._helpConfiguration = configuration;
        return this;
      }
      /**
       * The default output goes to stdout and stderr. You can customise this for special
       * applications. You can also customise the display of errors by overriding outputError.
       *
       * The configuration properties are all functions:
       *
       *     // change how output being written, defaults to stdout and stderr
       *     writeOut(str)
       *     writeErr(str)
       *     // change how output being written for errors, defaults to writeErr
       *     outputError(str, write) // used for displaying errors and not used for displaying help
       *     // specify width for wrapping help
       *     getOutHelpWidth()
       *     getErrHelpWidth()
       *     // color support, currently only used with Help
       *     getOutHasColors()
       *     getErrHasColors()
       *     stripColor() // used to remove ANSI escape codes if output does not have colors
       *
       * @param {object} [configuration] - configuration options
       * @return {(Command | object)} `this` command for chaining, or stored configuration
       */
      configureOutput(configuration) {
        if (configuration === void 0) return this._outputConfiguration;
        this._outputConfiguration = {
          ...this._outputConfiguration,
          ...configuration
        };
        return this;
      }
      /**
       * Display the help or a custom message after an error occurs.
       *
       * @param {(boolean|string)} [displayHelp]
       * @return {Command} `this` command for chaining
       */
      showHelpAfterError(displayHelp = true) {
        if (typeof displayHelp !== "string") displayHelp = !!displayHelp;
        this._showHelpAfterError = displayHelp;
        return this;
      }
      /**
       * Display suggestion of similar commands for unknown commands, or options for unknown options.
       *
       * @param {boolean} [displaySuggestion]
       * @return {Command} `this` command for chaining
       */
      showSuggestionAfterError(displaySuggestion = true) {
        this._showSuggestionAfterError = !!displaySuggestion;
        return this;
      }
      /**
       * Add a prepared subcommand.
       *
       * See .command() for creating an attached subcommand which inherits settings from its parent.
       *
       * @param {Command} cmd - new subcommand
       * @param {object} [opts] - configuration options
       * @return {Command} `this` command for chaining
       */
      addCommand(cmd, opts) {
        if (!cmd._name) {
          throw new Error(`Command passed to .addCommand() must have a name
- specify the name in Command constructor or using .name()`);
        }
        opts = opts || {};
        if (opts.isDefault) this._defaultCommandName = cmd._name;
        if (opts.noHelp || opts.hidden) cmd._hidden = true;
        this._registerCommand(cmd);
        cmd.parent = this;
        cmd._checkForBrokenPassThrough();
        return this;
      }
      /**
       * Factory routine to create a new unattached argument.
       *
       * See .argument() for creating an attached argument, which uses this routine to
       * create the argument. You can override createArgument to return a custom argument.
       *
       * @param {string} name
       * @param {string} [description]
       * @return {Argument} new argument
       */
      createArgument(name, description) {
        return new Argument2(name, description);
      }
      /**
       * Define argument syntax for command.
       *
       * The default is that the argument is required, and you can explicitly
       * indicate this with <> around the name. Put [] around the name for an optional argument.
       *
       * @example
       * program.argument('<input-file>');
       * program.argument('[output-file]');
       *
       * @param {string} name
       * @param {string} [description]
       * @param {(Function|*)} [parseArg] - custom argument processing function or default value
       * @param {*} [defaultValue]
       * @return {Command} `this` command for chaining
       */
      argument(name, description, parseArg, defaultValue) {
        const argument = this.createArgument(name, description);
        if (typeof parseArg === "function") {
          argument.default(defaultValue).argParser(parseArg);
        } else {
          argument.default(parseArg);
        }
        this.addArgument(argument);
        return this;
      }
      /**
       * Define argument syntax for command, adding multiple at once (without descriptions).
       *
       * See also .argument().
       *
       * @example
       * program.arguments('<cmd> [env]');
       *
       * @param {string} names
       * @return {Command} `this` command for chaining
       */
      arguments(names) {
        names.trim().split(/ +/).forEach((detail) => {
          this.argument(detail);
        });
        return this;
      }
      /**
       * Define argument syntax for command, adding a prepared argument.
       *
       * @param {Argument} argument
       * @return {Command} `this` command for chaining
       */
      addArgument(argument) {
        const previousArgument = this.registeredArguments.slice(-1)[0];
        if (previousArgument?.variadic) {
          throw new Error(
            `only the last argument can be variadic '${previousArgument.name()}'`
          );
        }
        if (argument.required && argument.defaultValue !== void 0 && argument.parseArg === void 0) {
          throw new Error(
            `a default value for a required argument is never used: '${argument.name()}'`
          );
        }
        this.registeredArguments.push(argument);
        return this;
      }
      /**
       * Customise or override default help command. By default a help command is automatically added if your command has subcommands.
       *
       * @example
       *    program.helpCommand('help [cmd]');
       *    program.helpCommand('help [cmd]', 'show help');
       *    program.helpCommand(false); // suppress default help command
       *    program.helpCommand(true); // add help command even if no subcommands
       *
       * @param {string|boolean} enableOrNameAndArgs - enable with custom name and/or arguments, or boolean to override whether added
       * @param {string} [description] - custom description
       * @return {Command} `this` command for chaining
       */
      helpCommand(enableOrNameAndArgs, description) {
        if (typeof enableOrNameAndArgs === "boolean") {
          this._addImplicitHelpCommand = enableOrNameAndArgs;
          if (enableOrNameAndArgs && this._defaultCommandGroup) {
            this._initCommandGroup(this._getHelpCommand());
          }
          return this;
        }
        const nameAndArgs = enableOrNameAndArgs ?? "help [command]";
        const [, helpName, helpArgs] = nameAndArgs.match(/([^ ]+) *(.*)/);
        const helpDescription = description ?? "display help for command";
        const helpCommand = this.createCommand(helpName);
        helpCommand.helpOption(false);
        if (helpArgs) helpCommand.arguments(helpArgs);
        if (helpDescription) helpCommand.description(helpDescription);
        this._addImplicitHelpCommand = true;
        this._helpCommand = helpCommand;
        if (enableOrNameAndArgs || description) this._initCommandGroup(helpCommand);
        return this;
      }
      /**
       * Add prepared custom help command.
       *
       * @param {(Command|string|boolean)} helpCommand - custom help command, or deprecated enableOrNameAndArgs as for `.helpCommand()`
       * @param {string} [deprecatedDescription] - deprecated custom description used with custom name only
       * @return {Command} `this` command for chaining
       */
      addHelpCommand(helpCommand, deprecatedDescription) {
        if (typeof helpCommand !== "object") {
          this.helpCommand(helpCommand, deprecatedDescription);
          return this;
        }
        this._addImplicitHelpCommand = true;
        this._helpCommand = helpCommand;
        this._initCommandGroup(helpCommand);
        return this;
      }
      /**
       * Lazy create help command.
       *
       * @return {(Command|null)}
       * @package
       */
      _getHelpCommand() {
        const hasImplicitHelpCommand = this._addImplicitHelpCommand ?? (this.commands.length && !this._actionHandler && !this._findCommand("help"));
        if (hasImplicitHelpCommand) {
          if (this._helpCommand === void 0) {
            this.helpCommand(void 0, void 0);
          }
          return this._helpCommand;
        }
        return null;
      }
      /**
       * Add hook for life cycle event.
       *
       * @param {string} event
       * @param {Function} listener
       * @return {Command} `this` command for chaining
       */
      hook(event, listener) {
        const allowedValues = ["preSubcommand", "preAction", "postAction"];
        if (!allowedValues.includes(event)) {
          throw new Error(`Unexpected value for event passed to hook : '${event}'.
Expecting one of '${allowedValues.join("', '")}'`);
        }
        if (this._lifeCycleHooks[event]) {
          this._lifeCycleHooks[event].push(listener);
        } else {
          this._lifeCycleHooks[event] = [listener];
        }
        return this;
      }
      /**
       * Register callback to use as replacement for calling process.exit.
       *
       * @param {Function} [fn] optional callback which will be passed a CommanderError, defaults to throwing
       * @return {Command} `this` command for chaining
       */
      exitOverride(fn) {
        if (fn) {
          this._exitCallback = fn;
        } else {
          this._exitCallback = (err) => {
            if (err.code !== "commander.executeSubCommandAsync") {
              throw err;
            } else {
            }
          };
        }
        return this;
      }
      /**
       * Call process.exit, and _exitCallback if defined.
       *
       * @param {number} exitCode exit code for using with process.exit
       * @param {string} code an id string representing the error
       * @param {string} message human-readable description of the error
       * @return never
       * @private
       */
      _exit(exitCode, code, message) {
        if (this._exitCallback) {
          this._exitCallback(new CommanderError2(exitCode, code, message));
        }
        process2.exit(exitCode);
      }
      /**
       * Register callback `fn` for the command.
       *
       * @example
       * program
       *   .command('serve')
       *   .description('start service')
       *   .action(function() {
       *      // do work here
       *   });
       *
       * @param {Function} fn
       * @return {Command} `this` command for chaining
       */
      action(fn) {
        const listener = (args) => {
          const expectedArgsCount = this.registeredArguments.length;
          const actionArgs = args.slice(0, expectedArgsCount);
          if (this._storeOptionsAsProperties) {
            actionArgs[expectedArgsCount] = this;
          } else {
            actionArgs[expectedArgsCount] = this.opts();
          }
          actionArgs.push(this);
          return fn.apply(this, actionArgs);
        };
        this._actionHandler = listener;
        return this;
      }
      /**
       * Factory routine to create a new unattached option.
       *
       * See .option() for creating an attached option, which uses this routine to
       * create the option. You can override createOption to return a custom option.
       *
       * @param {string} flags
       * @param {string} [description]
       * @return {Option} new option
       */
      createOption(flags2, description) {
        return new Option2(flags2, description);
      }
      /**
       * Wrap parseArgs to catch 'commander.invalidArgument'.
       *
       * @param {(Option | Argument)} target
       * @param {string} value
       * @param {*} previous
       * @param {string} invalidArgumentMessage
       * @private
       */
      _callParseArg(target, value, previous, invalidArgumentMessage) {
        try {
          return target.parseArg(value, previous);
        } catch (err) {
          if (err.code === "commander.invalidArgument") {
            const message = `${invalidArgumentMessage} ${err.message}`;
            this.error(message, { exitCode: err.exitCode, code: err.code });
          }
          throw err;
        }
      }
      /**
       * Check for option flag conflicts.
       * Register option if no conflicts found, or throw on conflict.
       *
       * @param {Option} option
       * @private
       */
      _registerOption(option) {
        const matchingOption = option.short && this._findOption(option.short) || option.long && this._findOption(option.long);
        if (matchingOption) {
          const matchingFlag = option.long && this._findOption(option.long) ? option.long : option.short;
          throw new Error(`Cannot add option '${option.flags}'${this._name && ` to command '${this._name}'`} due to conflicting flag '${matchingFlag}'
-  already used by option '${matchingOption.flags}'`);
        }
        this._initOptionGroup(option);
        this.options.push(option);
      }
      /**
       * Check for command name and alias conflicts with existing commands.
       * Register command if no conflicts found, or throw on conflict.
       *
       * @param {Command} command
       * @private
       */
      _registerCommand(command) {
        const knownBy = (cmd) => {
          return [cmd.name()].concat(cmd.aliases());
        };
        const alreadyUsed = knownBy(command).find(
          (name) => this._findCommand(name)
        );
        if (alreadyUsed) {
          const existingCmd = knownBy(this._findCommand(alreadyUsed)).join("|");
          const newCmd = knownBy(command).join("|");
          throw new Error(
            `cannot add command '${newCmd}' as already have command '${existingCmd}'`
          );
        }
        this._initCommandGroup(command);
        this.commands.push(command);
      }
      /**
       * Add an option.
       *
       * @param {Option} option
       * @return {Command} `this` command for chaining
       */
      addOption(option) {
        this._registerOption(option);
        const oname = option.name();
        const name = option.attributeName();
        if (option.negate) {
          const positiveLongFlag = option.long.replace(/^--no-/, "--");
          if (!this._findOption(positiveLongFlag)) {
            this.setOptionValueWithSource(
              name,
              option.defaultValue === void 0 ? true : option.defaultValue,
              "default"
            );
          }
        } else if (option.defaultValue !== void 0) {
          this.setOptionValueWithSource(name, option.defaultValue, "default");
        }
        const handleOptionValue = (val, invalidValueMessage, valueSource) => {
          if (val == null && option.presetArg !== void 0) {
            val = option.presetArg;
          }
          const oldValue = this.getOptionValue(name);
          if (val !== null && option.parseArg) {
            val = this._callParseArg(option, val, oldValue, invalidValueMessage);
          } else if (val !== null && option.variadic) {
            val = option._collectValue(val, oldValue);
          }
          if (val == null) {
            if (option.negate) {
              val = false;
            } else if (option.isBoolean() || option.optional) {
              val = true;
            } else {
              val = "";
            }
          }
          this.setOptionValueWithSource(name, val, valueSource);
        };
        this.on("option:" + oname, (val) => {
          const invalidValueMessage = `error: option '${option.flags}' argument '${val}' is invalid.`;
          handleOptionValue(val, invalidValueMessage, "cli");
        });
        if (option.envVar) {
          this.on("optionEnv:" + oname, (val) => {
            const invalidValueMessage = `error: option '${option.flags}' value '${val}' from env '${option.envVar}' is invalid.`;
            handleOptionValue(val, invalidValueMessage, "env");
          });
        }
        return this;
      }
      /**
       * Internal implementation shared by .option() and .requiredOption()
       *
       * @return {Command} `this` command for chaining
       * @private
       */
      _optionEx(config, flags2, description, fn, defaultValue) {
        if (typeof flags2 === "object" && flags2 instanceof Option2) {
          throw new Error(
            "To add an Option object use addOption() instead of option() or requiredOption()"
          );
        }
        const option = this.createOption(flags2, description);
        option.makeOptionMandatory(!!config.mandatory);
        if (typeof fn === "function") {
          option.default(defaultValue).argParser(fn);
        } else if (fn instanceof RegExp) {
          const regex = fn;
          fn = (val, def) => {
            const m = regex.exec(val);
            return m ? m[0] : def;
          };
          option.default(defaultValue).argParser(fn);
        } else {
          option.default(fn);
        }
        return this.addOption(option);
      }
      /**
       * Define option with `flags`, `description`, and optional argument parsing function or `defaultValue` or both.
       *
       * The `flags` string contains the short and/or long flags, separated by comma, a pipe or space. A required
       * option-argument is indicated by `<>` and an optional option-argument by `[]`.
       *
       * See the README for more details, and see also addOption() and requiredOption().
       *
       * @example
       * program
       *     .option('-p, --pepper', 'add pepper')
       *     .option('--pt, --pizza-type <TYPE>', 'type of pizza') // required option-argument
       *     .option('-c, --cheese [CHEESE]', 'add extra cheese', 'mozzarella') // optional option-argument with default
       *     .option('-t, --tip <VALUE>', 'add tip to purchase cost', parseFloat) // custom parse function
       *
       * @param {string} flags
       * @param {string} [description]
       * @param {(Function|*)} [parseArg] - custom option processing function or default value
       * @param {*} [defaultValue]
       * @return {Command} `this` command for chaining
       */
      option(flags2, description, parseArg, defaultValue) {
        return this._optionEx({}, flags2, description, parseArg, defaultValue);
      }
      /**
       * Add a required option which must have a value after parsing. This usually means
       * the option must be specified on the command line. (Otherwise the same as .option().)
       *
       * The `flags` string contains the short and/or long flags, separated by comma, a pipe or space.
       *
       * @param {string} flags
       * @param {string} [description]
       * @param {(Function|*)} [parseArg] - custom option processing function or default value
       * @param {*} [defaultValue]
       * @return {Command} `this` command for chaining
       */
      requiredOption(flags2, description, parseArg, defaultValue) {
        return this._optionEx(
          { mandatory: true },
          flags2,
          description,
          parseArg,
          defaultValue
        );
      }
      /**
       * Alter parsing of short flags with optional values.
       *
       * @example
       * // for `.option('-f,--flag [value]'):
       * program.combineFlagAndOptionalValue(true);  // `-f80` is treated like `--flag=80`, this is the default behaviour
       * program.combineFlagAndOptionalValue(false) // `-fb` is treated like `-f -b`
       *
       * @param {boolean} [combine] - if `true` or omitted, an optional value can be specified directly after the flag.
       * @return {Command} `this` command for chaining
       */
      combineFlagAndOptionalValue(combine = true) {
        this._combineFlagAndOptionalValue = !!combine;
        return this;
      }
      /**
       * Allow unknown options on the command line.
       *
       * @param {boolean} [allowUnknown] - if `true` or omitted, no error will be thrown for unknown options.
       * @return {Command} `this` command for chaining
       */
      allowUnknownOption(allowUnknown = true) {
        this._allowUnknownOption = !!allowUnknown;
        return this;
      }
      /**
       * Allow excess command-arguments on the command line. Pass false to make excess arguments an error.
       *
       * @param {boolean} [allowExcess] - if `true` or omitted, no error will be thrown for excess arguments.
       * @return {Command} `this` command for chaining
       */
      allowExcessArguments(allowExcess = true) {
        this._allowExcessArguments = !!allowExcess;
        return this;
      }
      /**
       * Enable positional options. Positional means global options are specified before subcommands which lets
       * subcommands reuse the same option names, and also enables subcommands to turn on passThroughOptions.
       * The default behaviour is non-positional and global options may appear anywhere on the command line.
       *
       * @param {boolean} [positional]
       * @return {Command} `this` command for chaining
       */
      enablePositionalOptions(positional = true) {
        this._enablePositionalOptions = !!positional;
        return this;
      }
      /**
       * Pass through options that come after command-arguments rather than treat them as command-options,
       * so actual command-options come before command-arguments. Turning this on for a subcommand requires
       * positional options to have been enabled on the program (parent commands).
       * The default behaviour is non-positional and options may appear before or after command-arguments.
       *
       * @param {boolean} [passThrough] for unknown options.
       * @return {Command} `this` command for chaining
       */
      passThroughOptions(passThrough = true) {
        this._passThroughOptions = !!passThrough;
        this._checkForBrokenPassThrough();
        return this;
      }
      /**
       * @private
       */
      _checkForBrokenPassThrough() {
        if (this.parent && this._passThroughOptions && !this.parent._enablePositionalOptions) {
          throw new Error(
            `passThroughOptions cannot be used for '${this._name}' without turning on enablePositionalOptions for parent command(s)`
          );
        }
      }
      /**
       * Whether to store option values as properties on command object,
       * or store separately (specify false). In both cases the option values can be accessed using .opts().
       *
       * @param {boolean} [storeAsProperties=true]
       * @return {Command} `this` command for chaining
       */
      storeOptionsAsProperties(storeAsProperties = true) {
        if (this.options.length) {
          throw new Error("call .storeOptionsAsProperties() before adding options");
        }
        if (Object.keys(this._optionValues).length) {
          throw new Error(
            "call .storeOptionsAsProperties() before setting option values"
          );
        }
        this._storeOptionsAsProperties = !!storeAsProperties;
        return this;
      }
      /**
       * Retrieve option value.
       *
       * @param {string} key
       * @return {object} value
       */
      getOptionValue(key) {
        if (this._storeOptionsAsProperties) {
          return this[key];
        }
        return this._optionValues[key];
      }
      /**
       * Store option value.
       *
       * @param {string} key
       * @param {object} value
       * @return {Command} `this` command for chaining
       */
      setOptionValue(key, value) {
        return this.setOptionValueWithSource(key, value, void 0);
      }
      /**
       * Store option value and where the value came from.
       *
       * @param {string} key
       * @param {object} value
       * @param {string} source - expected values are default/config/env/cli/implied
       * @return {Command} `this` command for chaining
       */
      setOptionValueWithSource(key, value, source) {
        if (this._storeOptionsAsProperties) {
          this[key] = value;
        } else {
          this._optionValues[key] = value;
        }
        this._optionValueSources[key] = source;
        return this;
      }
      /**
       * Get source of option value.
       * Expected values are default | config | env | cli | implied
       *
       * @param {string} key
       * @return {string}
       */
      getOptionValueSource(key) {
        return this._optionValueSources[key];
      }
      /**
       * Get source of option value. See also .optsWithGlobals().
       * Expected values are default | config | env | cli | implied
       *
       * @param {string} key
       * @return {string}
       */
      getOptionValueSourceWithGlobals(key) {
        let source;
        this._getCommandAndAncestors().forEach((cmd) => {
          if (cmd.getOptionValueSource(key) !== void 0) {
            source = cmd.getOptionValueSource(key);
          }
        });
        return source;
      }
      /**
       * Get user arguments from implied or explicit arguments.
       * Side-effects: set _scriptPath if args included script. Used for default program name, and subcommand searches.
       *
       * @private
       */
      _prepareUserArgs(argv, parseOptions) {
        if (argv !== void 0 && !Array.isArray(argv)) {
          throw new Error("first parameter to parse must be array or undefined");
        }
        parseOptions = parseOptions || {};
        if (argv === void 0 && parseOptions.from === void 0) {
          if (process2.versions?.electron) {
            parseOptions.from = "electron";
          }
          const execArgv = process2.execArgv ?? [];
          if (execArgv.includes("-e") || execArgv.includes("--eval") || execArgv.includes("-p") || execArgv.includes("--print")) {
            parseOptions.from = "eval";
          }
        }
        if (argv === void 0) {
          argv = process2.argv;
        }
        this.rawArgs = argv.slice();
        let userArgs;
        switch (parseOptions.from) {
          case void 0:
          case "node":
            this._scriptPath = argv[1];
            userArgs = argv.slice(2);
            break;
          case "electron":
            if (process2.defaultApp) {
              this._scriptPath = argv[1];
              userArgs = argv.slice(2);
            } else {
              userArgs = argv.slice(1);
            }
            break;
          case "user":
            userArgs = argv.slice(0);
            break;
          case "eval":
            userArgs = argv.slice(1);
            break;
          default:
            throw new Error(
              `unexpected parse option { from: '${parseOptions.from}' }`
            );
        }
        if (!this._name && this._scriptPath)
          this.nameFromFilename(this._scriptPath);
        this._name = this._name || "program";
        return userArgs;
      }
      /**
       * Parse `argv`, setting options and invoking commands when defined.
       *
       * Use parseAsync instead of parse if any of your action handlers are async.
       *
       * Call with no parameters to parse `process.argv`. Detects Electron and special node options like `node --eval`. Easy mode!
       *
       * Or call with an array of strings to parse, and optionally where the user arguments start by specifying where the arguments are `from`:
       * - `'node'`: default, `argv[0]` is the application and `argv[1]` is the script being run, with user arguments after that
       * - `'electron'`: `argv[0]` is the application and `argv[1]` varies depending on whether the electron application is packaged
       * - `'user'`: just user arguments
       *
       * @example
       * program.parse(); // parse process.argv and auto-detect electron and special node flags
       * program.parse(process.argv); // assume argv[0] is app and argv[1] is script
       * program.parse(my-args, { from: 'user' }); // just user supplied arguments, nothing special about argv[0]
       *
       * @param {string[]} [argv] - optional, defaults to process.argv
       * @param {object} [parseOptions] - optionally specify style of options with from: node/user/electron
       * @param {string} [parseOptions.from] - where the args are from: 'node', 'user', 'electron'
       * @return {Command} `this` command for chaining
       */
      parse(argv, parseOptions) {
        this._prepareForParse();
        const userArgs = this._prepareUserArgs(argv, parseOptions);
        this._parseCommand([], userArgs);
        return this;
      }
      /**
       * Parse `argv`, setting options and invoking commands when defined.
       *
       * Call with no parameters to parse `process.argv`. Detects Electron and special node options like `node --eval`. Easy mode!
       *
       * Or call with an array of strings to parse, and optionally where the user arguments start by specifying where the arguments are `from`:
       * - `'node'`: default, `argv[0]` is the application and `argv[1]` is the script being run, with user arguments after that
       * - `'electron'`: `argv[0]` is the application and `argv[1]` varies depending on whether the electron application is packaged
       * - `'user'`: just user arguments
       *
       * @example
       * await program.parseAsync(); // parse process.argv and auto-detect electron and special node flags
       * await program.parseAsync(process.argv); // assume argv[0] is app and argv[1] is script
       * await program.parseAsync(my-args, { from: 'user' }); // just user supplied arguments, nothing special about argv[0]
       *
       * @param {string[]} [argv]
       * @param {object} [parseOptions]
       * @param {string} parseOptions.from - where the args are from: 'node', 'user', 'electron'
       * @return {Promise}
       */
      async parseAsync(argv, parseOptions) {
        this._prepareForParse();
        const userArgs = this._prepareUserArgs(argv, parseOptions);
        await this._parseCommand([], userArgs);
        return this;
      }
      _prepareForParse() {
        if (this._savedState === null) {
          this.saveStateBeforeParse();
        } else {
          this.restoreStateBeforeParse();
        }
      }
      /**
       * Called the first time parse is called to save state and allow a restore before subsequent calls to parse.
       * Not usually called directly, but available for subclasses to save their custom state.
       *
       * This is called in a lazy way. Only commands used in parsing chain will have state saved.
       */
      saveStateBeforeParse() {
        this._savedState = {
          // name is stable if supplied by author, but may be unspecified for root command and deduced during parsing
          _name: this._name,
          // option values before parse have default values (including false for negated options)
          // shallow clones
          _optionValues: { ...this._optionValues },
          _optionValueSources: { ...this._optionValueSources }
        };
      }
      /**
       * Restore state before parse for calls after the first.
       * Not usually called directly, but available for subclasses to save their custom state.
       *
       * This is called in a lazy way. Only commands used in parsing chain will have state restored.
       */
      restoreStateBeforeParse() {
        if (this._storeOptionsAsProperties)
          throw new Error(`Can not call parse again when storeOptionsAsProperties is true.
- either make a new Command for each call to parse, or stop storing options as properties`);
        this._name = this._savedState._name;
        this._scriptPath = null;
        this.rawArgs = [];
        this._optionValues = { ...this._savedState._optionValues };
        this._optionValueSources = { ...this._savedState._optionValueSources };
        this.args = [];
        this.processedArgs = [];
      }
      /**
       * Throw if expected executable is missing. Add lots of help for author.
       *
       * @param {string} executableFile
       * @param {string} executableDir
       * @param {string} subcommandName
       */
      _checkForMissingExecutable(executableFile, executableDir, subcommandName) {
        if (fs.existsSync(executableFile)) return;
        const executableDirMessage = executableDir ? `searched for local subcommand relative to directory '${executableDir}'` : "no directory for search for local subcommand, use .executableDir() to supply a custom directory";
        const executableMissing = `'${executableFile}' does not exist
 - if '${subcommandName}' is not meant to be an executable command, remove description parameter from '.command()' and use '.description()' instead
 - if the default executable name is not suitable, use the executableFile option to supply a custom name or path
 - ${executableDirMessage}`;
        throw new Error(executableMissing);
      }
      /**
       * Execute a sub-command executable.
       *
       * @private
       */
      _executeSubCommand(subcommand, args) {
        args = args.slice();
        let launchWithNode = false;
        const sourceExt = [".js", ".ts", ".tsx", ".mjs", ".cjs"];
        function findFile(baseDir, baseName) {
          const localBin = path.resolve(baseDir, baseName);
          if (fs.existsSync(localBin)) return localBin;
          if (sourceExt.includes(path.extname(baseName))) return void 0;
          const foundExt = sourceExt.find(
            (ext) => fs.existsSync(`${localBin}${ext}`)
          );
          if (foundExt) return `${localBin}${foundExt}`;
          return void 0;
        }
        this._checkForMissingMandatoryOptions();
        this._checkForConflictingOptions();
        let executableFile = subcommand._executableFile || `${this._name}-${subcommand._name}`;
        let executableDir = this._executableDir || "";
        if (this._scriptPath) {
          let resolvedScriptPath;
          try {
            resolvedScriptPath = fs.realpathSync(this._scriptPath);
          } catch {
            resolvedScriptPath = this._scriptPath;
          }
          executableDir = path.resolve(
            path.dirname(resolvedScriptPath),
            executableDir
          );
        }
        if (executableDir) {
          let localFile = findFile(executableDir, executableFile);
          if (!localFile && !subcommand._executableFile && this._scriptPath) {
            const legacyName = path.basename(
              this._scriptPath,
              path.extname(this._scriptPath)
            );
            if (legacyName !== this._name) {
              localFile = findFile(
                executableDir,
                `${legacyName}-${subcommand._name}`
              );
            }
          }
          executableFile = localFile || executableFile;
        }
        launchWithNode = sourceExt.includes(path.extname(executableFile));
        let proc;
        if (process2.platform !== "win32") {
          if (launchWithNode) {
            args.unshift(executableFile);
            args = incrementNodeInspectorPort(process2.execArgv).concat(args);
            proc = childProcess.spawn(process2.argv[0], args, { stdio: "inherit" });
          } else {
            proc = childProcess.spawn(executableFile, args, { stdio: "inherit" });
          }
        } else {
          this._checkForMissingExecutable(
            executableFile,
            executableDir,
            subcommand._name
          );
          args.unshift(executableFile);
          args = incrementNodeInspectorPort(process2.execArgv).concat(args);
          proc = childProcess.spawn(process2.execPath, args, { stdio: "inherit" });
        }
        if (!proc.killed) {
          const signals = ["SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT", "SIGHUP"];
          signals.forEach((signal) => {
            process2.on(signal, () => {
              if (proc.killed === false && proc.exitCode === null) {
                proc.kill(signal);
              }
            });
          });
        }
        const exitCallback = this._exitCallback;
        proc.on("close", (code) => {
          code = code ?? 1;
          if (!exitCallback) {
            process2.exit(code);
          } else {
            exitCallback(
              new CommanderError2(
                code,
                "commander.executeSubCommandAsync",
                "(close)"
              )
            );
          }
        });
        proc.on("error", (err) => {
          if (err.code === "ENOENT") {
            this._checkForMissingExecutable(
              executableFile,
              executableDir,
              subcommand._name
            );
          } else if (err.code === "EACCES") {
            throw new Error(`'${executableFile}' not executable`);
          }
          if (!exitCallback) {
            process2.exit(1);
          } else {
            const wrappedError = new CommanderError2(
              1,
              "commander.executeSubCommandAsync",
              "(error)"
            );
            wrappedError.nestedError = err;
            exitCallback(wrappedError);
          }
        });
        this.runningCommand = proc;
      }
      /**
       * @private
       */
      _dispatchSubcommand(commandName, operands, unknown) {
        const subCommand = this._findCommand(commandName);
        if (!subCommand) this.help({ error: true });
        subCommand._prepareForParse();
        let promiseChain;
        promiseChain = this._chainOrCallSubCommandHook(
          promiseChain,
          subCommand,
          "preSubcommand"
        );
        promiseChain = this._chainOrCall(promiseChain, () => {
          if (subCommand._executableHandler) {
            this._executeSubCommand(subCommand, operands.concat(unknown));
          } else {
            return subCommand._parseCommand(operands, unknown);
          }
        });
        return promiseChain;
      }
      /**
       * Invoke help directly if possible, or dispatch if necessary.
       * e.g. help foo
       *
       * @private
       */
      _dispatchHelpCommand(subcommandName) {
        if (!subcommandName) {
          this.help();
        }
        const subCommand = this._findCommand(subcommandName);
        if (subCommand && !subCommand._executableHandler) {
          subCommand.help();
        }
        return this._dispatchSubcommand(
          subcommandName,
          [],
          [this._getHelpOption()?.long ?? this._getHelpOption()?.short ?? "--help"]
        );
      }
      /**
       * Check this.args against expected this.registeredArguments.
       *
       * @private
       */
      _checkNumberOfArguments() {
        this.registeredArguments.forEach((arg, i) => {
          if (arg.required && this.args[i] == null) {
            this.missingArgument(arg.name());
          }
        });
        if (this.registeredArguments.length > 0 && this.registeredArguments[this.registeredArguments.length - 1].variadic) {
          return;
        }
        if (this.args.length > this.registeredArguments.length) {
          this._excessArguments(this.args);
        }
      }
      /**
       * Process this.args using this.registeredArguments and save as this.processedArgs!
       *
       * @private
       */
      _processArguments() {
        const myParseArg = (argument, value, previous) => {
          let parsedValue = value;
          if (value !== null && argument.parseArg) {
            const invalidValueMessage = `error: command-argument value '${value}' is invalid for argument '${argument.name()}'.`;
            parsedValue = this._callParseArg(
              argument,
              value,
              previous,
              invalidValueMessage
            );
          }
          return parsedValue;
        };
        this._checkNumberOfArguments();
        const processedArgs = [];
        this.registeredArguments.forEach((declaredArg, index) => {
          let value = declaredArg.defaultValue;
          if (declaredArg.variadic) {
            if (index < this.args.length) {
              value = this.args.slice(index);
              if (declaredArg.parseArg) {
                value = value.reduce((processed, v) => {
                  return myParseArg(declaredArg, v, processed);
                }, declaredArg.defaultValue);
              }
            } else if (value === void 0) {
              value = [];
            }
          } else if (index < this.args.length) {
            value = this.args[index];
            if (declaredArg.parseArg) {
              value = myParseArg(declaredArg, value, declaredArg.defaultValue);
            }
          }
          processedArgs[index] = value;
        });
        this.processedArgs = processedArgs;
      }
      /**
       * Once we have a promise we chain, but call synchronously until then.
       *
       * @param {(Promise|undefined)} promise
       * @param {Function} fn
       * @return {(Promise|undefined)}
       * @private
       */
      _chainOrCall(promise, fn) {
        if (promise?.then && typeof promise.then === "function") {
          return promise.then(() => fn());
        }
        return fn();
      }
      /**
       *
       * @param {(Promise|undefined)} promise
       * @param {string} event
       * @return {(Promise|undefined)}
       * @private
       */
      _chainOrCallHooks(promise, event) {
        let result = promise;
        const hooks = [];
        this._getCommandAndAncestors().reverse().filter((cmd) => cmd._lifeCycleHooks[event] !== void 0).forEach((hookedCommand) => {
          hookedCommand._lifeCycleHooks[event].forEach((callback) => {
            hooks.push({ hookedCommand, callback });
          });
        });
        if (event === "postAction") {
          hooks.reverse();
        }
        hooks.forEach((hookDetail) => {
          result = this._chainOrCall(result, () => {
            return hookDetail.callback(hookDetail.hookedCommand, this);
          });
        });
        return result;
      }
      /**
       *
       * @param {(Promise|undefined)} promise
       * @param {Command} subCommand
       * @param {string} event
       * @return {(Promise|undefined)}
       * @private
       */
      _chainOrCallSubCommandHook(promise, subCommand, event) {
        let result = promise;
        if (this._lifeCycleHooks[event] !== void 0) {
          this._lifeCycleHooks[event].forEach((hook) => {
            result = this._chainOrCall(result, () => {
              return hook(this, subCommand);
            });
          });
        }
        return result;
      }
      /**
       * Process arguments in context of this command.
       * Returns action result, in case it is a promise.
       *
       * @private
       */
      _parseCommand(operands, unknown) {
        const parsed = this.parseOptions(unknown);
        this._parseOptionsEnv();
        this._parseOptionsImplied();
        operands = operands.concat(parsed.operands);
        unknown = parsed.unknown;
        this.args = operands.concat(unknown);
        if (operands && this._findCommand(operands[0])) {
          return this._dispatchSubcommand(operands[0], operands.slice(1), unknown);
        }
        if (this._getHelpCommand() && operands[0] === this._getHelpCommand().name()) {
          return this._dispatchHelpCommand(operands[1]);
        }
        if (this._defaultCommandName) {
          this._outputHelpIfRequested(unknown);
          return this._dispatchSubcommand(
            this._defaultCommandName,
            operands,
            unknown
          );
        }
        if (this.commands.length && this.args.length === 0 && !this._actionHandler && !this._defaultCommandName) {
          this.help({ error: true });
        }
        this._outputHelpIfRequested(parsed.unknown);
        this._checkForMissingMandatoryOptions();
        this._checkForConflictingOptions();
        const checkForUnknownOptions = () => {
          if (parsed.unknown.length > 0) {
            this.unknownOption(parsed.unknown[0]);
          }
        };
        const commandEvent = `command:${this.name()}`;
        if (this._actionHandler) {
          checkForUnknownOptions();
          this._processArguments();
          let promiseChain;
          promiseChain = this._chainOrCallHooks(promiseChain, "preAction");
          promiseChain = this._chainOrCall(
            promiseChain,
            () => this._actionHandler(this.processedArgs)
          );
          if (this.parent) {
            promiseChain = this._chainOrCall(promiseChain, () => {
              this.parent.emit(commandEvent, operands, unknown);
            });
          }
          promiseChain = this._chainOrCallHooks(promiseChain, "postAction");
          return promiseChain;
        }
        if (this.parent?.listenerCount(commandEvent)) {
          checkForUnknownOptions();
          this._processArguments();
          this.parent.emit(commandEvent, operands, unknown);
        } else if (operands.length) {
          if (this._findCommand("*")) {
            return this._dispatchSubcommand("*", operands, unknown);
          }
          if (this.listenerCount("command:*")) {
            this.emit("command:*", operands, unknown);
          } else if (this.commands.length) {
            this.unknownCommand();
          } else {
            checkForUnknownOptions();
            this._processArguments();
          }
        } else if (this.commands.length) {
          checkForUnknownOptions();
          this.help({ error: true });
        } else {
          checkForUnknownOptions();
          this._processArguments();
        }
      }
      /**
       * Find matching command.
       *
       * @private
       * @return {Command | undefined}
       */
      _findCommand(name) {
        if (!name) return void 0;
        return this.commands.find(
          (cmd) => cmd._name === name || cmd._aliases.includes(name)
        );
      }
      /**
       * Return an option matching `arg` if any.
       *
       * @param {string} arg
       * @return {Option}
       * @package
       */
      _findOption(arg) {
        return this.options.find((option) => option.is(arg));
      }
      /**
       * Display an error message if a mandatory option does not have a value.
       * Called after checking for help flags in leaf subcommand.
       *
       * @private
       */
      _checkForMissingMandatoryOptions() {
        this._getCommandAndAncestors().forEach((cmd) => {
          cmd.options.forEach((anOption) => {
            if (anOption.mandatory && cmd.getOptionValue(anOption.attributeName()) === void 0) {
              cmd.missingMandatoryOptionValue(anOption);
            }
          });
        });
      }
      /**
       * Display an error message if conflicting options are used together in this.
       *
       * @private
       */
      _checkForConflictingLocalOptions() {
        const definedNonDefaultOptions = this.options.filter((option) => {
          const optionKey = option.attributeName();
          if (this.getOptionValue(optionKey) === void 0) {
            return false;
          }
          return this.getOptionValueSource(optionKey) !== "default";
        });
        const optionsWithConflicting = definedNonDefaultOptions.filter(
          (option) => option.conflictsWith.length > 0
        );
        optionsWithConflicting.forEach((option) => {
          const conflictingAndDefined = definedNonDefaultOptions.find(
            (defined) => option.conflictsWith.includes(defined.attributeName())
          );
          if (conflictingAndDefined) {
            this._conflictingOption(option, conflictingAndDefined);
          }
        });
      }
      /**
       * Display an error message if conflicting options are used together.
       * Called after checking for help flags in leaf subcommand.
       *
       * @private
       */
      _checkForConflictingOptions() {
        this._getCommandAndAncestors().forEach((cmd) => {
          cmd._checkForConflictingLocalOptions();
        });
      }
      /**
       * Parse options from `argv` removing known options,
       * and return argv split into operands and unknown arguments.
       *
       * Side effects: modifies command by storing options. Does not reset state if called again.
       *
       * Examples:
       *
       *     argv => operands, unknown
       *     --known kkk op => [op], []
       *     op --known kkk => [op], []
       *     sub --unknown uuu op => [sub], [--unknown uuu op]
       *     sub -- --unknown uuu op => [sub --unknown uuu op], []
       *
       * @param {string[]} args
       * @return {{operands: string[], unknown: string[]}}
       */
      parseOptions(args) {
        const operands = [];
        const unknown = [];
        let dest = operands;
        function maybeOption(arg) {
          return arg.length > 1 && arg[0] === "-";
        }
        const negativeNumberArg = (arg) => {
          if (!/^-(\d+|\d*\.\d+)(e[+-]?\d+)?$/.test(arg)) return false;
          return !this._getCommandAndAncestors().some(
            (cmd) => cmd.options.map((opt) => opt.short).some((short) => /^-\d$/.test(short))
          );
        };
        let activeVariadicOption = null;
        let activeGroup = null;
        let i = 0;
        while (i < args.length || activeGroup) {
          const arg = activeGroup ?? args[i++];
          activeGroup = null;
          if (arg === "--") {
            if (dest === unknown) dest.push(arg);
            dest.push(...args.slice(i));
            break;
          }
          if (activeVariadicOption && (!maybeOption(arg) || negativeNumberArg(arg))) {
            this.emit(`option:${activeVariadicOption.name()}`, arg);
            continue;
          }
          activeVariadicOption = null;
          if (maybeOption(arg)) {
            const option = this._findOption(arg);
            if (option) {
              if (option.required) {
                const value = args[i++];
                if (value === void 0) this.optionMissingArgument(option);
                this.emit(`option:${option.name()}`, value);
              } else if (option.optional) {
                let value = null;
                if (i < args.length && (!maybeOption(args[i]) || negativeNumberArg(args[i]))) {
                  value = args[i++];
                }
                this.emit(`option:${option.name()}`, value);
              } else {
                this.emit(`option:${option.name()}`);
              }
              activeVariadicOption = option.variadic ? option : null;
              continue;
            }
          }
          if (arg.length > 2 && arg[0] === "-" && arg[1] !== "-") {
            const option = this._findOption(`-${arg[1]}`);
            if (option) {
              if (option.required || option.optional && this._combineFlagAndOptionalValue) {
                this.emit(`option:${option.name()}`, arg.slice(2));
              } else {
                this.emit(`option:${option.name()}`);
                activeGroup = `-${arg.slice(2)}`;
              }
              continue;
            }
          }
          if (/^--[^=]+=/.test(arg)) {
            const index = arg.indexOf("=");
            const option = this._findOption(arg.slice(0, index));
            if (option && (option.required || option.optional)) {
              this.emit(`option:${option.name()}`, arg.slice(index + 1));
              continue;
            }
          }
          if (dest === operands && maybeOption(arg) && !(this.commands.length === 0 && negativeNumberArg(arg))) {
            dest = unknown;
          }
          if ((this._enablePositionalOptions || this._passThroughOptions) && operands.length === 0 && unknown.length === 0) {
            if (this._findCommand(arg)) {
              operands.push(arg);
              unknown.push(...args.slice(i));
              break;
            } else if (this._getHelpCommand() && arg === this._getHelpCommand().name()) {
              operands.push(arg, ...args.slice(i));
              break;
            } else if (this._defaultCommandName) {
              unknown.push(arg, ...args.slice(i));
              break;
            }
          }
          if (this._passThroughOptions) {
            dest.push(arg, ...args.slice(i));
            break;
          }
          dest.push(arg);
        }
        return { operands, unknown };
      }
      /**
       * Return an object containing local option values as key-value pairs.
       *
       * @return {object}
       */
      opts() {
        if (this._storeOptionsAsProperties) {
          const result = {};
          const len = this.options.length;
          for (let i = 0; i < len; i++) {
            const key = this.options[i].attributeName();
            result[key] = key === this._versionOptionName ? this._version : this[key];
          }
          return result;
        }
        return this._optionValues;
      }
      /**
       * Return an object containing merged local and global option values as key-value pairs.
       *
       * @return {object}
       */
      optsWithGlobals() {
        return this._getCommandAndAncestors().reduce(
          (combinedOptions, cmd) => Object.assign(combinedOptions, cmd.opts()),
          {}
        );
      }
      /**
       * Display error message and exit (or call exitOverride).
       *
       * @param {string} message
       * @param {object} [errorOptions]
       * @param {string} [errorOptions.code] - an id string representing the error
       * @param {number} [errorOptions.exitCode] - used with process.exit
       */
      error(message, errorOptions) {
        this._outputConfiguration.outputError(
          `${message}
`,
          this._outputConfiguration.writeErr
        );
        if (typeof this._showHelpAfterError === "string") {
          this._outputConfiguration.writeErr(`${this._showHelpAfterError}
`);
        } else if (this._showHelpAfterError) {
          this._outputConfiguration.writeErr("\n");
          this.outputHelp({ error: true });
        }
        const config = errorOptions || {};
        const exitCode = config.exitCode || 1;
        const code = config.code || "commander.error";
        this._exit(exitCode, code, message);
      }
      /**
       * Apply any option related environment variables, if option does
       * not have a value from cli or client code.
       *
       * @private
       */
      _parseOptionsEnv() {
        this.options.forEach((option) => {
          if (option.envVar && option.envVar in process2.env) {
            const optionKey = option.attributeName();
            if (this.getOptionValue(optionKey) === void 0 || ["default", "config", "env"].includes(
              this.getOptionValueSource(optionKey)
            )) {
              if (option.required || option.optional) {
                this.emit(`optionEnv:${option.name()}`, process2.env[option.envVar]);
              } else {
                this.emit(`optionEnv:${option.name()}`);
              }
            }
          }
        });
      }
      /**
       * Apply any implied option values, if option is undefined or default value.
       *
       * @private
       */
      _parseOptionsImplied() {
        const dualHelper = new DualOptions(this.options);
        const hasCustomOptionValue = (optionKey) => {
          return this.getOptionValue(optionKey) !== void 0 && !["default", "implied"].includes(this.getOptionValueSource(optionKey));
        };
        this.options.filter(
          (option) => option.implied !== void 0 && hasCustomOptionValue(option.attributeName()) && dualHelper.valueFromOption(
            this.getOptionValue(option.attributeName()),
            option
          )
        ).forEach((option) => {
          Object.keys(option.implied).filter((impliedKey) => !hasCustomOptionValue(impliedKey)).forEach((impliedKey) => {
            this.setOptionValueWithSource(
              impliedKey,
              option.implied[impliedKey],
              "implied"
            );
          });
        });
      }
      /**
       * Argument `name` is missing.
       *
       * @param {string} name
       * @private
       */
      missingArgument(name) {
        const message = `error: missing required argument '${name}'`;
        this.error(message, { code: "commander.missingArgument" });
      }
      /**
       * `Option` is missing an argument.
       *
       * @param {Option} option
       * @private
       */
      optionMissingArgument(option) {
        const message = `error: option '${option.flags}' argument missing`;
        this.error(message, { code: "commander.optionMissingArgument" });
      }
      /**
       * `Option` does not have a value, and is a mandatory option.
       *
       * @param {Option} option
       * @private
       */
      missingMandatoryOptionValue(option) {
        const message = `error: required option '${option.flags}' not specified`;
        this.error(message, { code: "commander.missingMandatoryOptionValue" });
      }
      /**
       * `Option` conflicts with another option.
       *
       * @param {Option} option
       * @param {Option} conflictingOption
       * @private
       */
      _conflictingOption(option, conflictingOption) {
        const findBestOptionFromValue = (option2) => {
          const optionKey = option2.attributeName();
          const optionValue = this.getOptionValue(optionKey);
          const negativeOption = this.options.find(
            (target) => target.negate && optionKey === target.attributeName()
          );
          const positiveOption = this.options.find(
            (target) => !target.negate && optionKey === target.attributeName()
          );
          if (negativeOption && (negativeOption.presetArg === void 0 && optionValue === false || negativeOption.presetArg !== void 0 && optionValue === negativeOption.presetArg)) {
            return negativeOption;
          }
          return positiveOption || option2;
        };
        const getErrorMessage = (option2) => {
          const bestOption = findBestOptionFromValue(option2);
          const optionKey = bestOption.attributeName();
          const source = this.getOptionValueSource(optionKey);
          if (source === "env") {
            return `environment variable '${bestOption.envVar}'`;
          }
          return `option '${bestOption.flags}'`;
        };
        const message = `error: ${getErrorMessage(option)} cannot be used with ${getErrorMessage(conflictingOption)}`;
        this.error(message, { code: "commander.conflictingOption" });
      }
      /**
       * Unknown option `flag`.
       *
       * @param {string} flag
       * @private
       */
      unknownOption(flag) {
        if (this._allowUnknownOption) return;
        let suggestion = "";
        if (flag.startsWith("--") && this._showSuggestionAfterError) {
          let candidateFlags = [];
          let command = this;
          do {
            const moreFlags = command.createHelp().visibleOptions(command).filter((option) => option.long).map((option) => option.long);
            candidateFlags = candidateFlags.concat(moreFlags);
            command = command.parent;
          } while (command && !command._enablePositionalOptions);
          suggestion = suggestSimilar(flag, candidateFlags);
        }
        const message = `error: unknown option '${flag}'${suggestion}`;
        this.error(message, { code: "commander.unknownOption" });
      }
      /**
       * Excess arguments, more than expected.
       *
       * @param {string[]} receivedArgs
       * @private
       */
      _excessArguments(receivedArgs) {
        if (this._allowExcessArguments) return;
        const expected = this.registeredArguments.length;
        const s = expected === 1 ? "" : "s";
        const forSubcommand = this.parent ? ` for '${this.name()}'` : "";
        const message = `error: too many arguments${forSubcommand}. Expected ${expected} argument${s} but got ${receivedArgs.length}.`;
        this.error(message, { code: "commander.excessArguments" });
      }
      /**
       * Unknown command.
       *
       * @private
       */
      unknownCommand() {
        const unknownName = this.args[0];
        let suggestion = "";
        if (this._showSuggestionAfterError) {
          const candidateNames = [];
          this.createHelp().visibleCommands(this).forEach((command) => {
            candidateNames.push(command.name());
            if (command.alias()) candidateNames.push(command.alias());
          });
          suggestion = suggestSimilar(unknownName, candidateNames);
        }
        const message = `error: unknown command '${unknownName}'${suggestion}`;
        this.error(message, { code: "commander.unknownCommand" });
      }
      /**
       * Get or set the program version.
       *
       * This method auto-registers the "-V, --version" option which will print the version number.
       *
       * You can optionally supply the flags and description to override the defaults.
       *
       * @param {string} [str]
       * @param {string} [flags]
       * @param {string} [description]
       * @return {(this | string | undefined)} `this` command for chaining, or version string if no arguments
       */
      version(str, flags2, description) {
        if (str === void 0) return this._version;
        this._version = str;
        flags2 = flags2 || "-V, --version";
        description = description || "output the version number";
        const versionOption = this.createOption(flags2, description);
        this._versionOptionName = versionOption.attributeName();
        this._registerOption(versionOption);
        this.on("option:" + versionOption.name(), () => {
          this._outputConfiguration.writeOut(`${str}
`);
          this._exit(0, "commander.version", str);
        });
        return this;
      }
      /**
       * Set the description.
       *
       * @param {string} [str]
       * @param {object} [argsDescription]
       * @return {(string|Command)}
       */
      description(str, argsDescription) {
        if (str === void 0 && argsDescription === void 0)
          return this._description;
        this._description = str;
        if (argsDescription) {
          this._argsDescription = argsDescription;
        }
        return this;
      }
      /**
       * Set the summary. Used when listed as subcommand of parent.
       *
       * @param {string} [str]
       * @return {(string|Command)}
       */
      summary(str) {
        if (str === void 0) return this._summary;
        this._summary = str;
        return this;
      }
      /**
       * Set an alias for the command.
       *
       * You may call more than once to add multiple aliases. Only the first alias is shown in the auto-generated help.
       *
       * @param {string} [alias]
       * @return {(string|Command)}
       */
      alias(alias) {
        if (alias === void 0) return this._aliases[0];
        let command = this;
        if (this.commands.length !== 0 && this.commands[this.commands.length - 1]._executableHandler) {
          command = this.commands[this.commands.length - 1];
        }
        if (alias === command._name)
          throw new Error("Command alias can't be the same as its name");
        const matchingCommand = this.parent?._findCommand(alias);
        if (matchingCommand) {
          const existingCmd = [matchingCommand.name()].concat(matchingCommand.aliases()).join("|");
          throw new Error(
            `cannot add alias '${alias}' to command '${this.name()}' as already have command '${existingCmd}'`
          );
        }
        command._aliases.push(alias);
        return this;
      }
      /**
       * Set aliases for the command.
       *
       * Only the first alias is shown in the auto-generated help.
       *
       * @param {string[]} [aliases]
       * @return {(string[]|Command)}
       */
      aliases(aliases) {
        if (aliases === void 0) return this._aliases;
        aliases.forEach((alias) => this.alias(alias));
        return this;
      }
      /**
       * Set / get the command usage `str`.
       *
       * @param {string} [str]
       * @return {(string|Command)}
       */
      usage(str) {
        if (str === void 0) {
          if (this._usage) return this._usage;
          const args = this.registeredArguments.map((arg) => {
            return humanReadableArgName(arg);
          });
          return [].concat(
            this.options.length || this._helpOption !== null ? "[options]" : [],
            this.commands.length ? "[command]" : [],
            this.registeredArguments.length ? args : []
          ).join(" ");
        }
        this._usage = str;
        return this;
      }
      /**
       * Get or set the name of the command.
       *
       * @param {string} [str]
       * @return {(string|Command)}
       */
      name(str) {
        if (str === void 0) return this._name;
        this._name = str;
        return this;
      }
      /**
       * Set/get the help group heading for this subcommand in parent command's help.
       *
       * @param {string} [heading]
       * @return {Command | string}
       */
      helpGroup(heading) {
        if (heading === void 0) return this._helpGroupHeading ?? "";
        this._helpGroupHeading = heading;
        return this;
      }
      /**
       * Set/get the default help group heading for subcommands added to this command.
       * (This does not override a group set directly on the subcommand using .helpGroup().)
       *
       * @example
       * program.commandsGroup('Development Commands:);
       * program.command('watch')...
       * program.command('lint')...
       * ...
       *
       * @param {string} [heading]
       * @returns {Command | string}
       */
      commandsGroup(heading) {
        if (heading === void 0) return this._defaultCommandGroup ?? "";
        this._defaultCommandGroup = heading;
        return this;
      }
      /**
       * Set/get the default help group heading for options added to this command.
       * (This does not override a group set directly on the option using .helpGroup().)
       *
       * @example
       * program
       *   .optionsGroup('Development Options:')
       *   .option('-d, --debug', 'output extra debugging')
       *   .option('-p, --profile', 'output profiling information')
       *
       * @param {string} [heading]
       * @returns {Command | string}
       */
      optionsGroup(heading) {
        if (heading === void 0) return this._defaultOptionGroup ?? "";
        this._defaultOptionGroup = heading;
        return this;
      }
      /**
       * @param {Option} option
       * @private
       */
      _initOptionGroup(option) {
        if (this._defaultOptionGroup && !option.helpGroupHeading)
          option.helpGroup(this._defaultOptionGroup);
      }
      /**
       * @param {Command} cmd
       * @private
       */
      _initCommandGroup(cmd) {
        if (this._defaultCommandGroup && !cmd.helpGroup())
          cmd.helpGroup(this._defaultCommandGroup);
      }
      /**
       * Set the name of the command from script filename, such as process.argv[1],
       * or require.main.filename, or __filename.
       *
       * (Used internally and public although not documented in README.)
       *
       * @example
       * program.nameFromFilename(require.main.filename);
       *
       * @param {string} filename
       * @return {Command}
       */
      nameFromFilename(filename) {
        this._name = path.basename(filename, path.extname(filename));
        return this;
      }
      /**
       * Get or set the directory for searching for executable subcommands of this command.
       *
       * @example
       * program.executableDir(__dirname);
       * // or
       * program.executableDir('subcommands');
       *
       * @param {string} [path]
       * @return {(string|null|Command)}
       */
      executableDir(path2) {
        if (path2 === void 0) return this._executableDir;
        this._executableDir = path2;
        return this;
      }
      /**
       * Return program help documentation.
       *
       * @param {{ error: boolean }} [contextOptions] - pass {error:true} to wrap for stderr instead of stdout
       * @return {string}
       */
      helpInformation(contextOptions) {
        const helper = this.createHelp();
        const context = this._getOutputContext(contextOptions);
        helper.prepareContext({
          error: context.error,
          helpWidth: context.helpWidth,
          outputHasColors: context.hasColors
        });
        const text = helper.formatHelp(this, helper);
        if (context.hasColors) return text;
        return this._outputConfiguration.stripColor(text);
      }
      /**
       * @typedef HelpContext
       * @type {object}
       * @property {boolean} error
       * @property {number} helpWidth
       * @property {boolean} hasColors
       * @property {function} write - includes stripColor if needed
       *
       * @returns {HelpContext}
       * @private
       */
      _getOutputContext(contextOptions) {
        contextOptions = contextOptions || {};
        const error = !!contextOptions.error;
        let baseWrite;
        let hasColors;
        let helpWidth;
        if (error) {
          baseWrite = (str) => this._outputConfiguration.writeErr(str);
          hasColors = this._outputConfiguration.getErrHasColors();
          helpWidth = this._outputConfiguration.getErrHelpWidth();
        } else {
          baseWrite = (str) => this._outputConfiguration.writeOut(str);
          hasColors = this._outputConfiguration.getOutHasColors();
          helpWidth = this._outputConfiguration.getOutHelpWidth();
        }
        const write = (str) => {
          if (!hasColors) str = this._outputConfiguration.stripColor(str);
          return baseWrite(str);
        };
        return { error, write, hasColors, helpWidth };
      }
      /**
       * Output help information for this command.
       *
       * Outputs built-in help, and custom text added using `.addHelpText()`.
       *
       * @param {{ error: boolean } | Function} [contextOptions] - pass {error:true} to write to stderr instead of stdout
       */
      outputHelp(contextOptions) {
        let deprecatedCallback;
        if (typeof contextOptions === "function") {
          deprecatedCallback = contextOptions;
          contextOptions = void 0;
        }
        const outputContext = this._getOutputContext(contextOptions);
        const eventContext = {
          error: outputContext.error,
          write: outputContext.write,
          command: this
        };
        this._getCommandAndAncestors().reverse().forEach((command) => command.emit("beforeAllHelp", eventContext));
        this.emit("beforeHelp", eventContext);
        let helpInformation = this.helpInformation({ error: outputContext.error });
        if (deprecatedCallback) {
          helpInformation = deprecatedCallback(helpInformation);
          if (typeof helpInformation !== "string" && !Buffer.isBuffer(helpInformation)) {
            throw new Error("outputHelp callback must return a string or a Buffer");
          }
        }
        outputContext.write(helpInformation);
        if (this._getHelpOption()?.long) {
          this.emit(this._getHelpOption().long);
        }
        this.emit("afterHelp", eventContext);
        this._getCommandAndAncestors().forEach(
          (command) => command.emit("afterAllHelp", eventContext)
        );
      }
      /**
       * You can pass in flags and a description to customise the built-in help option.
       * Pass in false to disable the built-in help option.
       *
       * @example
       * program.helpOption('-?, --help' 'show help'); // customise
       * program.helpOption(false); // disable
       *
       * @param {(string | boolean)} flags
       * @param {string} [description]
       * @return {Command} `this` command for chaining
       */
      helpOption(flags2, description) {
        if (typeof flags2 === "boolean") {
          if (flags2) {
            if (this._helpOption === null) this._helpOption = void 0;
            if (this._defaultOptionGroup) {
              this._initOptionGroup(this._getHelpOption());
            }
          } else {
            this._helpOption = null;
          }
          return this;
        }
        this._helpOption = this.createOption(
          flags2 ?? "-h, --help",
          description ?? "display help for command"
        );
        if (flags2 || description) this._initOptionGroup(this._helpOption);
        return this;
      }
      /**
       * Lazy create help option.
       * Returns null if has been disabled with .helpOption(false).
       *
       * @returns {(Option | null)} the help option
       * @package
       */
      _getHelpOption() {
        if (this._helpOption === void 0) {
          this.helpOption(void 0, void 0);
        }
        return this._helpOption;
      }
      /**
       * Supply your own option to use for the built-in help option.
       * This is an alternative to using helpOption() to customise the flags and description etc.
       *
       * @param {Option} option
       * @return {Command} `this` command for chaining
       */
      addHelpOption(option) {
        this._helpOption = option;
        this._initOptionGroup(option);
        return this;
      }
      /**
       * Output help information and exit.
       *
       * Outputs built-in help, and custom text added using `.addHelpText()`.
       *
       * @param {{ error: boolean }} [contextOptions] - pass {error:true} to write to stderr instead of stdout
       */
      help(contextOptions) {
        this.outputHelp(contextOptions);
        let exitCode = Number(process2.exitCode ?? 0);
        if (exitCode === 0 && contextOptions && typeof contextOptions !== "function" && contextOptions.error) {
          exitCode = 1;
        }
        this._exit(exitCode, "commander.help", "(outputHelp)");
      }
      /**
       * // Do a little typing to coordinate emit and listener for the help text events.
       * @typedef HelpTextEventContext
       * @type {object}
       * @property {boolean} error
       * @property {Command} command
       * @property {function} write
       */
      /**
       * Add additional text to be displayed with the built-in help.
       *
       * Position is 'before' or 'after' to affect just this command,
       * and 'beforeAll' or 'afterAll' to affect this command and all its subcommands.
       *
       * @param {string} position - before or after built-in help
       * @param {(string | Function)} text - string to add, or a function returning a string
       * @return {Command} `this` command for chaining
       */
      addHelpText(position, text) {
        const allowedValues = ["beforeAll", "before", "after", "afterAll"];
        if (!allowedValues.includes(position)) {
          throw new Error(`Unexpected value for position to addHelpText.
Expecting one of '${allowedValues.join("', '")}'`);
        }
        const helpEvent = `${position}Help`;
        this.on(helpEvent, (context) => {
          let helpStr;
          if (typeof text === "function") {
            helpStr = text({ error: context.error, command: context.command });
          } else {
            helpStr = text;
          }
          if (helpStr) {
            context.write(`${helpStr}
`);
          }
        });
        return this;
      }
      /**
       * Output help information if help flags specified
       *
       * @param {Array} args - array of options to search for help flags
       * @private
       */
      _outputHelpIfRequested(args) {
        const helpOption = this._getHelpOption();
        const helpRequested = helpOption && args.find((arg) => helpOption.is(arg));
        if (helpRequested) {
          this.outputHelp();
          this._exit(0, "commander.helpDisplayed", "(outputHelp)");
        }
      }
    };
    function incrementNodeInspectorPort(args) {
      return args.map((arg) => {
        if (!arg.startsWith("--inspect")) {
          return arg;
        }
        let debugOption;
        let debugHost = "127.0.0.1";
        let debugPort = "9229";
        let match;
        if ((match = arg.match(/^(--inspect(-brk)?)$/)) !== null) {
          debugOption = match[1];
        } else if ((match = arg.match(/^(--inspect(-brk|-port)?)=([^:]+)$/)) !== null) {
          debugOption = match[1];
          if (/^\d+$/.test(match[3])) {
            debugPort = match[3];
          } else {
            debugHost = match[3];
          }
        } else if ((match = arg.match(/^(--inspect(-brk|-port)?)=([^:]+):(\d+)$/)) !== null) {
          debugOption = match[1];
          debugHost = match[3];
          debugPort = match[4];
        }
        if (debugOption && debugPort !== "0") {
          return `${debugOption}=${debugHost}:${parseInt(debugPort) + 1}`;
        }
        return arg;
      });
    }
    function useColor() {
      if (process2.env.NO_COLOR || process2.env.FORCE_COLOR === "0" || process2.env.FORCE_COLOR === "false")
        return false;
      if (process2.env.FORCE_COLOR || process2.env.CLICOLOR_FORCE !== void 0)
        return true;
      return void 0;
    }
    exports2.Command = Command2;
    exports2.useColor = useColor;
  }
});

// node_modules/commander/index.js
var require_commander = __commonJS({
  "node_modules/commander/index.js"(exports2) {
    var { Argument: Argument2 } = require_argument();
    var { Command: Command2 } = require_command();
    var { CommanderError: CommanderError2, InvalidArgumentError: InvalidArgumentError2 } = require_error();
    var { Help: Help2 } = require_help();
    var { Option: Option2 } = require_option();
    exports2.program = new Command2();
    exports2.createCommand = (name) => new Command2(name);
    exports2.createOption = (flags2, description) => new Option2(flags2, description);
    exports2.createArgument = (name, description) => new Argument2(name, description);
    exports2.Command = Command2;
    exports2.Option = Option2;
    exports2.Argument = Argument2;
    exports2.Help = Help2;
    exports2.CommanderError = CommanderError2;
    exports2.InvalidArgumentError = InvalidArgumentError2;
    exports2.InvalidOptionArgumentError = InvalidArgumentError2;
  }
});

// node_modules/cli-progress/lib/eta.js
var require_eta = __commonJS({
  "node_modules/cli-progress/lib/eta.js"(exports2, module2) {
    var ETA = class {
      constructor(length, initTime, initValue) {
        this.etaBufferLength = length || 100;
        this.valueBuffer = [initValue];
        this.timeBuffer = [initTime];
        this.eta = "0";
      }
      // add new values to calculation buffer
      update(time, value, total) {
        this.valueBuffer.push(value);
        this.timeBuffer.push(time);
        this.calculate(total - value);
      }
      // fetch estimated time
      getTime() {
        return this.eta;
      }
      // eta calculation - request number of remaining events
      calculate(remaining) {
        const currentBufferSize = this.valueBuffer.length;
        const buffer = Math.min(this.etaBufferLength, currentBufferSize);
        const v_diff = this.valueBuffer[currentBufferSize - 1] - this.valueBuffer[currentBufferSize - buffer];
        const t_diff = this.timeBuffer[currentBufferSize - 1] - this.timeBuffer[currentBufferSize - buffer];
        const vt_rate = v_diff / t_diff;
        this.valueBuffer = this.valueBuffer.slice(-this.etaBufferLength);
        this.timeBuffer = this.timeBuffer.slice(-this.etaBufferLength);
        const eta = Math.ceil(remaining / vt_rate / 1e3);
        if (isNaN(eta)) {
          this.eta = "NULL";
        } else if (!isFinite(eta)) {
          this.eta = "INF";
        } else if (eta > 1e7) {
          this.eta = "INF";
        } else if (eta < 0) {
          this.eta = 0;
        } else {
          this.eta = eta;
        }
      }
    };
    module2.exports = ETA;
  }
});

// node_modules/cli-progress/lib/terminal.js
var require_terminal = __commonJS({
  "node_modules/cli-progress/lib/terminal.js"(exports2, module2) {
    var _readline = require("readline");
    var Terminal = class {
      constructor(outputStream) {
        this.stream = outputStream;
        this.linewrap = true;
        this.dy = 0;
      }
      // save cursor position + settings
      cursorSave() {
        if (!this.stream.isTTY) {
          return;
        }
        this.stream.write("\x1B7");
      }
      // restore last cursor position + settings
      cursorRestore() {
        if (!this.stream.isTTY) {
          return;
        }
        this.stream.write("\x1B8");
      }
      // show/hide cursor
      cursor(enabled) {
        if (!this.stream.isTTY) {
          return;
        }
        if (enabled) {
          this.stream.write("\x1B[?25h");
        } else {
          this.stream.write("\x1B[?25l");
        }
      }
      // change cursor positionn
      cursorTo(x = null, y = null) {
        if (!this.stream.isTTY) {
          return;
        }
        _readline.cursorTo(this.stream, x, y);
      }
      // change relative cursor position
      cursorRelative(dx = null, dy = null) {
        if (!this.stream.isTTY) {
          return;
        }
        this.dy = this.dy + dy;
        _readline.moveCursor(this.stream, dx, dy);
      }
      // relative reset
      cursorRelativeReset() {
        if (!this.stream.isTTY) {
          return;
        }
        _readline.moveCursor(this.stream, 0, -this.dy);
        _readline.cursorTo(this.stream, 0, null);
        this.dy = 0;
      }
      // clear to the right from cursor
      clearRight() {
        if (!this.stream.isTTY) {
          return;
        }
        _readline.clearLine(this.stream, 1);
      }
      // clear the full line
      clearLine() {
        if (!this.stream.isTTY) {
          return;
        }
        _readline.clearLine(this.stream, 0);
      }
      // clear everyting beyond the current line
      clearBottom() {
        if (!this.stream.isTTY) {
          return;
        }
        _readline.clearScreenDown(this.stream);
      }
      // add new line; increment counter
      newline() {
        this.stream.write("\n");
        this.dy++;
      }
      // write content to output stream
      // @TODO use string-width to strip length
      write(s, rawWrite = false) {
        if (this.linewrap === true && rawWrite === false) {
          this.stream.write(s.substr(0, this.getWidth()));
        } else {
          this.stream.write(s);
        }
      }
      // control line wrapping
      lineWrapping(enabled) {
        if (!this.stream.isTTY) {
          return;
        }
        this.linewrap = enabled;
        if (enabled) {
          this.stream.write("\x1B[?7h");
        } else {
          this.stream.write("\x1B[?7l");
        }
      }
      // tty environment ?
      isTTY() {
        return this.stream.isTTY === true;
      }
      // get terminal width
      getWidth() {
        return this.stream.columns || (this.stream.isTTY ? 80 : 200);
      }
    };
    module2.exports = Terminal;
  }
});

// node_modules/ansi-regex/index.js
var require_ansi_regex = __commonJS({
  "node_modules/ansi-regex/index.js"(exports2, module2) {
    "use strict";
    module2.exports = ({ onlyFirst = false } = {}) => {
      const pattern = [
        "[\\u001B\\u009B][[\\]()#;?]*(?:(?:(?:(?:;[-a-zA-Z\\d\\/#&.:=?%@~_]+)*|[a-zA-Z\\d]+(?:;[-a-zA-Z\\d\\/#&.:=?%@~_]*)*)?\\u0007)",
        "(?:(?:\\d{1,4}(?:;\\d{0,4})*)?[\\dA-PR-TZcf-ntqry=><~]))"
      ].join("|");
      return new RegExp(pattern, onlyFirst ? void 0 : "g");
    };
  }
});

// node_modules/strip-ansi/index.js
var require_strip_ansi = __commonJS({
  "node_modules/strip-ansi/index.js"(exports2, module2) {
    "use strict";
    var ansiRegex = require_ansi_regex();
    module2.exports = (string) => typeof string === "string" ? string.replace(ansiRegex(), "") : string;
  }
});

// node_modules/is-fullwidth-code-point/index.js
var require_is_fullwidth_code_point = __commonJS({
  "node_modules/is-fullwidth-code-point/index.js"(exports2, module2) {
    "use strict";
    var isFullwidthCodePoint = (codePoint) => {
      if (Number.isNaN(codePoint)) {
        return false;
      }
      if (codePoint >= 4352 && (codePoint <= 4447 || // Hangul Jamo
      codePoint === 9001 || // LEFT-POINTING ANGLE BRACKET
      codePoint === 9002 || // RIGHT-POINTING ANGLE BRACKET
      // CJK Radicals Supplement .. Enclosed CJK Letters and Months
      11904 <= codePoint && codePoint <= 12871 && codePoint !== 12351 || // Enclosed CJK Letters and Months .. CJK Unified Ideographs Extension A
      12880 <= codePoint && codePoint <= 19903 || // CJK Unified Ideographs .. Yi Radicals
      19968 <= codePoint && codePoint <= 42182 || // Hangul Jamo Extended-A
      43360 <= codePoint && codePoint <= 43388 || // Hangul Syllables
      44032 <= codePoint && codePoint <= 55203 || // CJK Compatibility Ideographs
      63744 <= codePoint && codePoint <= 64255 || // Vertical Forms
      65040 <= codePoint && codePoint <= 65049 || // CJK Compatibility Forms .. Small Form Variants
      65072 <= codePoint && codePoint <= 65131 || // Halfwidth and Fullwidth Forms
      65281 <= codePoint && codePoint <= 65376 || 65504 <= codePoint && codePoint <= 65510 || // Kana Supplement
      110592 <= codePoint && codePoint <= 110593 || // Enclosed Ideographic Supplement
      127488 <= codePoint && codePoint <= 127569 || // CJK Unified Ideographs Extension B .. Tertiary Ideographic Plane
      131072 <= codePoint && codePoint <= 262141)) {
        return true;
      }
      return false;
    };
    module2.exports = isFullwidthCodePoint;
    module2.exports.default = isFullwidthCodePoint;
  }
});

// node_modules/emoji-regex/index.js
var require_emoji_regex = __commonJS({
  "node_modules/emoji-regex/index.js"(exports2, module2) {
    "use strict";
    module2.exports = function() {
      return /\uD83C\uDFF4\uDB40\uDC67\uDB40\uDC62(?:\uDB40\uDC65\uDB40\uDC6E\uDB40\uDC67|\uDB40\uDC73\uDB40\uDC63\uDB40\uDC74|\uDB40\uDC77\uDB40\uDC6C\uDB40\uDC73)\uDB40\uDC7F|\uD83D\uDC68(?:\uD83C\uDFFC\u200D(?:\uD83E\uDD1D\u200D\uD83D\uDC68\uD83C\uDFFB|\uD83C[\uDF3E\uDF73\uDF93\uDFA4\uDFA8\uDFEB\uDFED]|\uD83D[\uDCBB\uDCBC\uDD27\uDD2C\uDE80\uDE92]|\uD83E[\uDDAF-\uDDB3\uDDBC\uDDBD])|\uD83C\uDFFF\u200D(?:\uD83E\uDD1D\u200D\uD83D\uDC68(?:\uD83C[\uDFFB-\uDFFE])|\uD83C[\uDF3E\uDF73\uDF93\uDFA4\uDFA8\uDFEB\uDFED]|\uD83D[\uDCBB\uDCBC\uDD27\uDD2C\uDE80\uDE92]|\uD83E[\uDDAF-\uDDB3\uDDBC\uDDBD])|\uD83C\uDFFE\u200D(?:\uD83E\uDD1D\u200D\uD83D\uDC68(?:\uD83C[\uDFFB-\uDFFD])|\uD83C[\uDF3E\uDF73\uDF93\uDFA4\uDFA8\uDFEB\uDFED]|\uD83D[\uDCBB\uDCBC\uDD27\uDD2C\uDE80\uDE92]|\uD83E[\uDDAF-\uDDB3\uDDBC\uDDBD])|\uD83C\uDFFD\u200D(?:\uD83E\uDD1D\u200D\uD83D\uDC68(?:\uD83C[\uDFFB\uDFFC])|\uD83C[\uDF3E\uDF73\uDF93\uDFA4\uDFA8\uDFEB\uDFED]|\uD83D[\uDCBB\uDCBC\uDD27\uDD2C\uDE80\uDE92]|\uD83E[\uDDAF-\uDDB3\uDDBC\uDDBD])|\u200D(?:\u2764\uFE0F\u200D(?:\uD83D\uDC8B\u200D)?\uD83D\uDC68|(?:\uD83D[\uDC68\uDC69])\u200D(?:\uD83D\uDC66\u200D\uD83D\uDC66|\uD83D\uDC67\u200D(?:\uD83D[\uDC66\uDC67]))|\uD83D\uDC66\u200D\uD83D\uDC66|\uD83D\uDC67\u200D(?:\uD83D[\uDC66\uDC67])|(?:\uD83D[\uDC68\uDC69])\u200D(?:\uD83D[\uDC66\uDC67])|[\u2695\u2696\u2708]\uFE0F|\uD83D[\uDC66\uDC67]|\uD83C[\uDF3E\uDF73\uDF93\uDFA4\uDFA8\uDFEB\uDFED]|\uD83D[\uDCBB\uDCBC\uDD27\uDD2C\uDE80\uDE92]|\uD83E[\uDDAF-\uDDB3\uDDBC\uDDBD])|(?:\uD83C\uDFFB\u200D[\u2695\u2696\u2708]|\uD83C\uDFFF\u200D[\u2695\u2696\u2708]|\uD83C\uDFFE\u200D[\u2695\u2696\u2708]|\uD83C\uDFFD\u200D[\u2695\u2696\u2708]|\uD83C\uDFFC\u200D[\u2695\u2696\u2708])\uFE0F|\uD83C\uDFFB\u200D(?:\uD83C[\uDF3E\uDF73\uDF93\uDFA4\uDFA8\uDFEB\uDFED]|\uD83D[\uDCBB\uDCBC\uDD27\uDD2C\uDE80\uDE92]|\uD83E[\uDDAF-\uDDB3\uDDBC\uDDBD])|\uD83C[\uDFFB-\uDFFF])|(?:\uD83E\uDDD1\uD83C\uDFFB\u200D\uD83E\uDD1D\u200D\uD83E\uDDD1|\uD83D\uDC69\uD83C\uDFFC\u200D\uD83E\uDD1D\u200D\uD83D\uDC69)\uD83C\uDFFB|\uD83E\uDDD1(?:\uD83C\uDFFF\u200D\uD83E\uDD1D\u200D\uD83E\uDDD1(?:\uD83C[\uDFFB-\uDFFF])|\u200D\uD83E\uDD1D\u200D\uD83E\uDDD1)|(?:\uD83E\uDDD1\uD83C\uDFFE\u200D\uD83E\uDD1D\u200D\uD83E\uDDD1|\uD83D\uDC69\uD83C\uDFFF\u200D\uD83E\uDD1D\u200D(?:\uD83D[\uDC68\uDC69]))(?:\uD83C[\uDFFB-\uDFFE])|(?:\uD83E\uDDD1\uD83C\uDFFC\u200D\uD83E\uDD1D\u200D\uD83E\uDDD1|\uD83D\uDC69\uD83C\uDFFD\u200D\uD83E\uDD1D\u200D\uD83D\uDC69)(?:\uD83C[\uDFFB\uDFFC])|\uD83D\uDC69(?:\uD83C\uDFFE\u200D(?:\uD83E\uDD1D\u200D\uD83D\uDC68(?:\uD83C[\uDFFB-\uDFFD\uDFFF])|\uD83C[\uDF3E\uDF73\uDF93\uDFA4\uDFA8\uDFEB\uDFED]|\uD83D[\uDCBB\uDCBC\uDD27\uDD2C\uDE80\uDE92]|\uD83E[\uDDAF-\uDDB3\uDDBC\uDDBD])|\uD83C\uDFFC\u200D(?:\uD83E\uDD1D\u200D\uD83D\uDC68(?:\uD83C[\uDFFB\uDFFD-\uDFFF])|\uD83C[\uDF3E\uDF73\uDF93\uDFA4\uDFA8\uDFEB\uDFED]|\uD83D[\uDCBB\uDCBC\uDD27\uDD2C\uDE80\uDE92]|\uD83E[\uDDAF-\uDDB3\uDDBC\uDDBD])|\uD83C\uDFFB\u200D(?:\uD83E\uDD1D\u200D\uD83D\uDC68(?:\uD83C[\uDFFC-\uDFFF])|\uD83C[\uDF3E\uDF73\uDF93\uDFA4\uDFA8\uDFEB\uDFED]|\uD83D[\uDCBB\uDCBC\uDD27\uDD2C\uDE80\uDE92]|\uD83E[\uDDAF-\uDDB3\uDDBC\uDDBD])|\uD83C\uDFFD\u200D(?:\uD83E\uDD1D\u200D\uD83D\uDC68(?:\uD83C[\uDFFB\uDFFC\uDFFE\uDFFF])|\uD83C[\uDF3E\uDF73\uDF93\uDFA4\uDFA8\uDFEB\uDFED]|\uD83D[\uDCBB\uDCBC\uDD27\uDD2C\uDE80\uDE92]|\uD83E[\uDDAF-\uDDB3\uDDBC\uDDBD])|\u200D(?:\u2764\uFE0F\u200D(?:\uD83D\uDC8B\u200D(?:\uD83D[\uDC68\uDC69])|\uD83D[\uDC68\uDC69])|\uD83C[\uDF3E\uDF73\uDF93\uDFA4\uDFA8\uDFEB\uDFED]|\uD83D[\uDCBB\uDCBC\uDD27\uDD2C\uDE80\uDE92]|\uD83E[\uDDAF-\uDDB3\uDDBC\uDDBD])|\uD83C\uDFFF\u200D(?:\uD83C[\uDF3E\uDF73\uDF93\uDFA4\uDFA8\uDFEB\uDFED]|\uD83D[\uDCBB\uDCBC\uDD27\uDD2C\uDE80\uDE92]|\uD83E[\uDDAF-\uDDB3\uDDBC\uDDBD]))|\uD83D\uDC69\u200D\uD83D\uDC69\u200D(?:\uD83D\uDC66\u200D\uD83D\uDC66|\uD83D\uDC67\u200D(?:\uD83D[\uDC66\uDC67]))|(?:\uD83E\uDDD1\uD83C\uDFFD\u200D\uD83E\uDD1D\u200D\uD83E\uDDD1|\uD83D\uDC69\uD83C\uDFFE\u200D\uD83E\uDD1D\u200D\uD83D\uDC69)(?:\uD83C[\uDFFB-\uDFFD])|\uD83D\uDC69\u200D\uD83D\uDC66\u200D\uD83D\uDC66|\uD83D\uDC69\u200D\uD83D\uDC69\u200D(?:\uD83D[\uDC66\uDC67])|(?:\uD83D\uDC41\uFE0F\u200D\uD83D\uDDE8|\uD83D\uDC69(?:\uD83C\uDFFF\u200D[\u2695\u2696\u2708]|\uD83C\uDFFE\u200D[\u2695\u2696\u2708]|\uD83C\uDFFC\u200D[\u2695\u2696\u2708]|\uD83C\uDFFB\u200D[\u2695\u2696\u2708]|\uD83C\uDFFD\u200D[\u2695\u2696\u2708]|\u200D[\u2695\u2696\u2708])|(?:(?:\u26F9|\uD83C[\uDFCB\uDFCC]|\uD83D\uDD75)\uFE0F|\uD83D\uDC6F|\uD83E[\uDD3C\uDDDE\uDDDF])\u200D[\u2640\u2642]|(?:\u26F9|\uD83C[\uDFCB\uDFCC]|\uD83D\uDD75)(?:\uD83C[\uDFFB-\uDFFF])\u200D[\u2640\u2642]|(?:\uD83C[\uDFC3\uDFC4\uDFCA]|\uD83D[\uDC6E\uDC71\uDC73\uDC77\uDC81\uDC82\uDC86\uDC87\uDE45-\uDE47\uDE4B\uDE4D\uDE4E\uDEA3\uDEB4-\uDEB6]|\uD83E[\uDD26\uDD37-\uDD39\uDD3D\uDD3E\uDDB8\uDDB9\uDDCD-\uDDCF\uDDD6-\uDDDD])(?:(?:\uD83C[\uDFFB-\uDFFF])\u200D[\u2640\u2642]|\u200D[\u2640\u2642])|\uD83C\uDFF4\u200D\u2620)\uFE0F|\uD83D\uDC69\u200D\uD83D\uDC67\u200D(?:\uD83D[\uDC66\uDC67])|\uD83C\uDFF3\uFE0F\u200D\uD83C\uDF08|\uD83D\uDC15\u200D\uD83E\uDDBA|\uD83D\uDC69\u200D\uD83D\uDC66|\uD83D\uDC69\u200D\uD83D\uDC67|\uD83C\uDDFD\uD83C\uDDF0|\uD83C\uDDF4\uD83C\uDDF2|\uD83C\uDDF6\uD83C\uDDE6|[#\*0-9]\uFE0F\u20E3|\uD83C\uDDE7(?:\uD83C[\uDDE6\uDDE7\uDDE9-\uDDEF\uDDF1-\uDDF4\uDDF6-\uDDF9\uDDFB\uDDFC\uDDFE\uDDFF])|\uD83C\uDDF9(?:\uD83C[\uDDE6\uDDE8\uDDE9\uDDEB-\uDDED\uDDEF-\uDDF4\uDDF7\uDDF9\uDDFB\uDDFC\uDDFF])|\uD83C\uDDEA(?:\uD83C[\uDDE6\uDDE8\uDDEA\uDDEC\uDDED\uDDF7-\uDDFA])|\uD83E\uDDD1(?:\uD83C[\uDFFB-\uDFFF])|\uD83C\uDDF7(?:\uD83C[\uDDEA\uDDF4\uDDF8\uDDFA\uDDFC])|\uD83D\uDC69(?:\uD83C[\uDFFB-\uDFFF])|\uD83C\uDDF2(?:\uD83C[\uDDE6\uDDE8-\uDDED\uDDF0-\uDDFF])|\uD83C\uDDE6(?:\uD83C[\uDDE8-\uDDEC\uDDEE\uDDF1\uDDF2\uDDF4\uDDF6-\uDDFA\uDDFC\uDDFD\uDDFF])|\uD83C\uDDF0(?:\uD83C[\uDDEA\uDDEC-\uDDEE\uDDF2\uDDF3\uDDF5\uDDF7\uDDFC\uDDFE\uDDFF])|\uD83C\uDDED(?:\uD83C[\uDDF0\uDDF2\uDDF3\uDDF7\uDDF9\uDDFA])|\uD83C\uDDE9(?:\uD83C[\uDDEA\uDDEC\uDDEF\uDDF0\uDDF2\uDDF4\uDDFF])|\uD83C\uDDFE(?:\uD83C[\uDDEA\uDDF9])|\uD83C\uDDEC(?:\uD83C[\uDDE6\uDDE7\uDDE9-\uDDEE\uDDF1-\uDDF3\uDDF5-\uDDFA\uDDFC\uDDFE])|\uD83C\uDDF8(?:\uD83C[\uDDE6-\uDDEA\uDDEC-\uDDF4\uDDF7-\uDDF9\uDDFB\uDDFD-\uDDFF])|\uD83C\uDDEB(?:\uD83C[\uDDEE-\uDDF0\uDDF2\uDDF4\uDDF7])|\uD83C\uDDF5(?:\uD83C[\uDDE6\uDDEA-\uDDED\uDDF0-\uDDF3\uDDF7-\uDDF9\uDDFC\uDDFE])|\uD83C\uDDFB(?:\uD83C[\uDDE6\uDDE8\uDDEA\uDDEC\uDDEE\uDDF3\uDDFA])|\uD83C\uDDF3(?:\uD83C[\uDDE6\uDDE8\uDDEA-\uDDEC\uDDEE\uDDF1\uDDF4\uDDF5\uDDF7\uDDFA\uDDFF])|\uD83C\uDDE8(?:\uD83C[\uDDE6\uDDE8\uDDE9\uDDEB-\uDDEE\uDDF0-\uDDF5\uDDF7\uDDFA-\uDDFF])|\uD83C\uDDF1(?:\uD83C[\uDDE6-\uDDE8\uDDEE\uDDF0\uDDF7-\uDDFB\uDDFE])|\uD83C\uDDFF(?:\uD83C[\uDDE6\uDDF2\uDDFC])|\uD83C\uDDFC(?:\uD83C[\uDDEB\uDDF8])|\uD83C\uDDFA(?:\uD83C[\uDDE6\uDDEC\uDDF2\uDDF3\uDDF8\uDDFE\uDDFF])|\uD83C\uDDEE(?:\uD83C[\uDDE8-\uDDEA\uDDF1-\uDDF4\uDDF6-\uDDF9])|\uD83C\uDDEF(?:\uD83C[\uDDEA\uDDF2\uDDF4\uDDF5])|(?:\uD83C[\uDFC3\uDFC4\uDFCA]|\uD83D[\uDC6E\uDC71\uDC73\uDC77\uDC81\uDC82\uDC86\uDC87\uDE45-\uDE47\uDE4B\uDE4D\uDE4E\uDEA3\uDEB4-\uDEB6]|\uD83E[\uDD26\uDD37-\uDD39\uDD3D\uDD3E\uDDB8\uDDB9\uDDCD-\uDDCF\uDDD6-\uDDDD])(?:\uD83C[\uDFFB-\uDFFF])|(?:\u26F9|\uD83C[\uDFCB\uDFCC]|\uD83D\uDD75)(?:\uD83C[\uDFFB-\uDFFF])|(?:[\u261D\u270A-\u270D]|\uD83C[\uDF85\uDFC2\uDFC7]|\uD83D[\uDC42\uDC43\uDC46-\uDC50\uDC66\uDC67\uDC6B-\uDC6D\uDC70\uDC72\uDC74-\uDC76\uDC78\uDC7C\uDC83\uDC85\uDCAA\uDD74\uDD7A\uDD90\uDD95\uDD96\uDE4C\uDE4F\uDEC0\uDECC]|\uD83E[\uDD0F\uDD18-\uDD1C\uDD1E\uDD1F\uDD30-\uDD36\uDDB5\uDDB6\uDDBB\uDDD2-\uDDD5])(?:\uD83C[\uDFFB-\uDFFF])|(?:[\u231A\u231B\u23E9-\u23EC\u23F0\u23F3\u25FD\u25FE\u2614\u2615\u2648-\u2653\u267F\u2693\u26A1\u26AA\u26AB\u26BD\u26BE\u26C4\u26C5\u26CE\u26D4\u26EA\u26F2\u26F3\u26F5\u26FA\u26FD\u2705\u270A\u270B\u2728\u274C\u274E\u2753-\u2755\u2757\u2795-\u2797\u27B0\u27BF\u2B1B\u2B1C\u2B50\u2B55]|\uD83C[\uDC04\uDCCF\uDD8E\uDD91-\uDD9A\uDDE6-\uDDFF\uDE01\uDE1A\uDE2F\uDE32-\uDE36\uDE38-\uDE3A\uDE50\uDE51\uDF00-\uDF20\uDF2D-\uDF35\uDF37-\uDF7C\uDF7E-\uDF93\uDFA0-\uDFCA\uDFCF-\uDFD3\uDFE0-\uDFF0\uDFF4\uDFF8-\uDFFF]|\uD83D[\uDC00-\uDC3E\uDC40\uDC42-\uDCFC\uDCFF-\uDD3D\uDD4B-\uDD4E\uDD50-\uDD67\uDD7A\uDD95\uDD96\uDDA4\uDDFB-\uDE4F\uDE80-\uDEC5\uDECC\uDED0-\uDED2\uDED5\uDEEB\uDEEC\uDEF4-\uDEFA\uDFE0-\uDFEB]|\uD83E[\uDD0D-\uDD3A\uDD3C-\uDD45\uDD47-\uDD71\uDD73-\uDD76\uDD7A-\uDDA2\uDDA5-\uDDAA\uDDAE-\uDDCA\uDDCD-\uDDFF\uDE70-\uDE73\uDE78-\uDE7A\uDE80-\uDE82\uDE90-\uDE95])|(?:[#\*0-9\xA9\xAE\u203C\u2049\u2122\u2139\u2194-\u2199\u21A9\u21AA\u231A\u231B\u2328\u23CF\u23E9-\u23F3\u23F8-\u23FA\u24C2\u25AA\u25AB\u25B6\u25C0\u25FB-\u25FE\u2600-\u2604\u260E\u2611\u2614\u2615\u2618\u261D\u2620\u2622\u2623\u2626\u262A\u262E\u262F\u2638-\u263A\u2640\u2642\u2648-\u2653\u265F\u2660\u2663\u2665\u2666\u2668\u267B\u267E\u267F\u2692-\u2697\u2699\u269B\u269C\u26A0\u26A1\u26AA\u26AB\u26B0\u26B1\u26BD\u26BE\u26C4\u26C5\u26C8\u26CE\u26CF\u26D1\u26D3\u26D4\u26E9\u26EA\u26F0-\u26F5\u26F7-\u26FA\u26FD\u2702\u2705\u2708-\u270D\u270F\u2712\u2714\u2716\u271D\u2721\u2728\u2733\u2734\u2744\u2747\u274C\u274E\u2753-\u2755\u2757\u2763\u2764\u2795-\u2797\u27A1\u27B0\u27BF\u2934\u2935\u2B05-\u2B07\u2B1B\u2B1C\u2B50\u2B55\u3030\u303D\u3297\u3299]|\uD83C[\uDC04\uDCCF\uDD70\uDD71\uDD7E\uDD7F\uDD8E\uDD91-\uDD9A\uDDE6-\uDDFF\uDE01\uDE02\uDE1A\uDE2F\uDE32-\uDE3A\uDE50\uDE51\uDF00-\uDF21\uDF24-\uDF93\uDF96\uDF97\uDF99-\uDF9B\uDF9E-\uDFF0\uDFF3-\uDFF5\uDFF7-\uDFFF]|\uD83D[\uDC00-\uDCFD\uDCFF-\uDD3D\uDD49-\uDD4E\uDD50-\uDD67\uDD6F\uDD70\uDD73-\uDD7A\uDD87\uDD8A-\uDD8D\uDD90\uDD95\uDD96\uDDA4\uDDA5\uDDA8\uDDB1\uDDB2\uDDBC\uDDC2-\uDDC4\uDDD1-\uDDD3\uDDDC-\uDDDE\uDDE1\uDDE3\uDDE8\uDDEF\uDDF3\uDDFA-\uDE4F\uDE80-\uDEC5\uDECB-\uDED2\uDED5\uDEE0-\uDEE5\uDEE9\uDEEB\uDEEC\uDEF0\uDEF3-\uDEFA\uDFE0-\uDFEB]|\uD83E[\uDD0D-\uDD3A\uDD3C-\uDD45\uDD47-\uDD71\uDD73-\uDD76\uDD7A-\uDDA2\uDDA5-\uDDAA\uDDAE-\uDDCA\uDDCD-\uDDFF\uDE70-\uDE73\uDE78-\uDE7A\uDE80-\uDE82\uDE90-\uDE95])\uFE0F|(?:[\u261D\u26F9\u270A-\u270D]|\uD83C[\uDF85\uDFC2-\uDFC4\uDFC7\uDFCA-\uDFCC]|\uD83D[\uDC42\uDC43\uDC46-\uDC50\uDC66-\uDC78\uDC7C\uDC81-\uDC83\uDC85-\uDC87\uDC8F\uDC91\uDCAA\uDD74\uDD75\uDD7A\uDD90\uDD95\uDD96\uDE45-\uDE47\uDE4B-\uDE4F\uDEA3\uDEB4-\uDEB6\uDEC0\uDECC]|\uD83E[\uDD0F\uDD18-\uDD1F\uDD26\uDD30-\uDD39\uDD3C-\uDD3E\uDDB5\uDDB6\uDDB8\uDDB9\uDDBB\uDDCD-\uDDCF\uDDD1-\uDDDD])/g;
    };
  }
});

// node_modules/string-width/index.js
var require_string_width = __commonJS({
  "node_modules/string-width/index.js"(exports2, module2) {
    "use strict";
    var stripAnsi = require_strip_ansi();
    var isFullwidthCodePoint = require_is_fullwidth_code_point();
    var emojiRegex = require_emoji_regex();
    var stringWidth = (string) => {
      if (typeof string !== "string" || string.length === 0) {
        return 0;
      }
      string = stripAnsi(string);
      if (string.length === 0) {
        return 0;
      }
      string = string.replace(emojiRegex(), "  ");
      let width = 0;
      for (let i = 0; i < string.length; i++) {
        const code = string.codePointAt(i);
        if (code <= 31 || code >= 127 && code <= 159) {
          continue;
        }
        if (code >= 768 && code <= 879) {
          continue;
        }
        if (code > 65535) {
          i++;
        }
        width += isFullwidthCodePoint(code) ? 2 : 1;
      }
      return width;
    };
    module2.exports = stringWidth;
    module2.exports.default = stringWidth;
  }
});

// node_modules/cli-progress/lib/format-value.js
var require_format_value = __commonJS({
  "node_modules/cli-progress/lib/format-value.js"(exports2, module2) {
    module2.exports = function formatValue(v, options, type) {
      if (options.autopadding !== true) {
        return v;
      }
      function autopadding(value, length) {
        return (options.autopaddingChar + value).slice(-length);
      }
      switch (type) {
        case "percentage":
          return autopadding(v, 3);
        default:
          return v;
      }
    };
  }
});

// node_modules/cli-progress/lib/format-bar.js
var require_format_bar = __commonJS({
  "node_modules/cli-progress/lib/format-bar.js"(exports2, module2) {
    module2.exports = function formatBar(progress, options) {
      const completeSize = Math.round(progress * options.barsize);
      const incompleteSize = options.barsize - completeSize;
      return options.barCompleteString.substr(0, completeSize) + options.barGlue + options.barIncompleteString.substr(0, incompleteSize);
    };
  }
});

// node_modules/cli-progress/lib/format-time.js
var require_format_time = __commonJS({
  "node_modules/cli-progress/lib/format-time.js"(exports2, module2) {
    module2.exports = function formatTime(t, options, roundToMultipleOf) {
      function round(input) {
        if (roundToMultipleOf) {
          return roundToMultipleOf * Math.round(input / roundToMultipleOf);
        } else {
          return input;
        }
      }
      function autopadding(v) {
        return (options.autopaddingChar + v).slice(-2);
      }
      if (t > 3600) {
        return autopadding(Math.floor(t / 3600)) + "h" + autopadding(round(t % 3600 / 60)) + "m";
      } else if (t > 60) {
        return autopadding(Math.floor(t / 60)) + "m" + autopadding(round(t % 60)) + "s";
      } else if (t > 10) {
        return autopadding(round(t)) + "s";
      } else {
        return autopadding(t) + "s";
      }
    };
  }
});

// node_modules/cli-progress/lib/formatter.js
var require_formatter = __commonJS({
  "node_modules/cli-progress/lib/formatter.js"(exports2, module2) {
    var _stringWidth = require_string_width();
    var _defaultFormatValue = require_format_value();
    var _defaultFormatBar = require_format_bar();
    var _defaultFormatTime = require_format_time();
    module2.exports = function defaultFormatter(options, params, payload) {
      let s = options.format;
      const formatTime = options.formatTime || _defaultFormatTime;
      const formatValue = options.formatValue || _defaultFormatValue;
      const formatBar = options.formatBar || _defaultFormatBar;
      const percentage = Math.floor(params.progress * 100) + "";
      const stopTime = params.stopTime || Date.now();
      const elapsedTime = Math.round((stopTime - params.startTime) / 1e3);
      const context = Object.assign({}, payload, {
        bar: formatBar(params.progress, options),
        percentage: formatValue(percentage, options, "percentage"),
        total: formatValue(params.total, options, "total"),
        value: formatValue(params.value, options, "value"),
        eta: formatValue(params.eta, options, "eta"),
        eta_formatted: formatTime(params.eta, options, 5),
        duration: formatValue(elapsedTime, options, "duration"),
        duration_formatted: formatTime(elapsedTime, options, 1)
      });
      s = s.replace(/\{(\w+)\}/g, function(match, key) {
        if (typeof context[key] !== "undefined") {
          return context[key];
        }
        return match;
      });
      const fullMargin = Math.max(0, params.maxWidth - _stringWidth(s) - 2);
      const halfMargin = Math.floor(fullMargin / 2);
      switch (options.align) {
        // fill start-of-line with whitespaces
        case "right":
          s = fullMargin > 0 ? " ".repeat(fullMargin) + s : s;
          break;
        // distribute whitespaces to left+right
        case "center":
          s = halfMargin > 0 ? " ".repeat(halfMargin) + s : s;
          break;
        // default: left align, no additional whitespaces
        case "left":
        default:
          break;
      }
      return s;
    };
  }
});

// node_modules/cli-progress/lib/options.js
var require_options = __commonJS({
  "node_modules/cli-progress/lib/options.js"(exports2, module2) {
    function mergeOption(v, defaultValue) {
      if (typeof v === "undefined" || v === null) {
        return defaultValue;
      } else {
        return v;
      }
    }
    module2.exports = {
      // set global options
      parse: function parse2(rawOptions, preset) {
        const options = {};
        const opt = Object.assign({}, preset, rawOptions);
        options.throttleTime = 1e3 / mergeOption(opt.fps, 10);
        options.stream = mergeOption(opt.stream, process.stderr);
        options.terminal = mergeOption(opt.terminal, null);
        options.clearOnComplete = mergeOption(opt.clearOnComplete, false);
        options.stopOnComplete = mergeOption(opt.stopOnComplete, false);
        options.barsize = mergeOption(opt.barsize, 40);
        options.align = mergeOption(opt.align, "left");
        options.hideCursor = mergeOption(opt.hideCursor, false);
        options.linewrap = mergeOption(opt.linewrap, false);
        options.barGlue = mergeOption(opt.barGlue, "");
        options.barCompleteChar = mergeOption(opt.barCompleteChar, "=");
        options.barIncompleteChar = mergeOption(opt.barIncompleteChar, "-");
        options.format = mergeOption(opt.format, "progress [{bar}] {percentage}% | ETA: {eta}s | {value}/{total}");
        options.formatTime = mergeOption(opt.formatTime, null);
        options.formatValue = mergeOption(opt.formatValue, null);
        options.formatBar = mergeOption(opt.formatBar, null);
        options.etaBufferLength = mergeOption(opt.etaBuffer, 10);
        options.etaAsynchronousUpdate = mergeOption(opt.etaAsynchronousUpdate, false);
        options.progressCalculationRelative = mergeOption(opt.progressCalculationRelative, false);
        options.synchronousUpdate = mergeOption(opt.synchronousUpdate, true);
        options.noTTYOutput = mergeOption(opt.noTTYOutput, false);
        options.notTTYSchedule = mergeOption(opt.notTTYSchedule, 2e3);
        options.emptyOnZero = mergeOption(opt.emptyOnZero, false);
        options.forceRedraw = mergeOption(opt.forceRedraw, false);
        options.autopadding = mergeOption(opt.autopadding, false);
        options.gracefulExit = mergeOption(opt.gracefulExit, false);
        return options;
      },
      // derived options: instance specific, has to be created for every bar element
      assignDerivedOptions: function assignDerivedOptions(options) {
        options.barCompleteString = options.barCompleteChar.repeat(options.barsize + 1);
        options.barIncompleteString = options.barIncompleteChar.repeat(options.barsize + 1);
        options.autopaddingChar = options.autopadding ? mergeOption(options.autopaddingChar, "   ") : "";
        return options;
      }
    };
  }
});

// node_modules/cli-progress/lib/generic-bar.js
var require_generic_bar = __commonJS({
  "node_modules/cli-progress/lib/generic-bar.js"(exports2, module2) {
    var _ETA = require_eta();
    var _Terminal = require_terminal();
    var _formatter = require_formatter();
    var _options = require_options();
    var _EventEmitter = require("events");
    module2.exports = class GenericBar extends _EventEmitter {
      constructor(options) {
        super();
        this.options = _options.assignDerivedOptions(options);
        this.terminal = this.options.terminal ? this.options.terminal : new _Terminal(this.options.stream);
        this.value = 0;
        this.startValue = 0;
        this.total = 100;
        this.lastDrawnString = null;
        this.startTime = null;
        this.stopTime = null;
        this.lastRedraw = Date.now();
        this.eta = new _ETA(this.options.etaBufferLength, 0, 0);
        this.payload = {};
        this.isActive = false;
        this.formatter = typeof this.options.format === "function" ? this.options.format : _formatter;
      }
      // internal render function
      render(forceRendering = false) {
        const params = {
          progress: this.getProgress(),
          eta: this.eta.getTime(),
          startTime: this.startTime,
          stopTime: this.stopTime,
          total: this.total,
          value: this.value,
          maxWidth: this.terminal.getWidth()
        };
        if (this.options.etaAsynchronousUpdate) {
          this.updateETA();
        }
        const s = this.formatter(this.options, params, this.payload);
        const forceRedraw = forceRendering || this.options.forceRedraw || this.options.noTTYOutput && !this.terminal.isTTY();
        if (forceRedraw || this.lastDrawnString != s) {
          this.emit("redraw-pre");
          this.terminal.cursorTo(0, null);
          this.terminal.write(s);
          this.terminal.clearRight();
          this.lastDrawnString = s;
          this.lastRedraw = Date.now();
          this.emit("redraw-post");
        }
      }
      // start the progress bar
      start(total, startValue, payload) {
        this.value = startValue || 0;
        this.total = typeof total !== "undefined" && total >= 0 ? total : 100;
        this.startValue = startValue || 0;
        this.payload = payload || {};
        this.startTime = Date.now();
        this.stopTime = null;
        this.lastDrawnString = "";
        this.eta = new _ETA(this.options.etaBufferLength, this.startTime, this.value);
        this.isActive = true;
        this.emit("start", total, startValue);
      }
      // stop the bar
      stop() {
        this.isActive = false;
        this.stopTime = Date.now();
        this.emit("stop", this.total, this.value);
      }
      // update the bar value
      // update(value, payload)
      // update(payload)
      update(arg0, arg1 = {}) {
        if (typeof arg0 === "number") {
          this.value = arg0;
          this.eta.update(Date.now(), arg0, this.total);
        }
        const payloadData = (typeof arg0 === "object" ? arg0 : arg1) || {};
        this.emit("update", this.total, this.value);
        for (const key in payloadData) {
          this.payload[key] = payloadData[key];
        }
        if (this.value >= this.getTotal() && this.options.stopOnComplete) {
          this.stop();
        }
      }
      // calculate the actual progress value
      getProgress() {
        let progress = this.value / this.total;
        if (this.options.progressCalculationRelative) {
          progress = (this.value - this.startValue) / (this.total - this.startValue);
        }
        if (isNaN(progress)) {
          progress = this.options && this.options.emptyOnZero ? 0 : 1;
        }
        progress = Math.min(Math.max(progress, 0), 1);
        return progress;
      }
      // update the bar value
      // increment(delta, payload)
      // increment(payload)
      increment(arg0 = 1, arg1 = {}) {
        if (typeof arg0 === "object") {
          this.update(this.value + 1, arg0);
        } else {
          this.update(this.value + arg0, arg1);
        }
      }
      // get the total (limit) value
      getTotal() {
        return this.total;
      }
      // set the total (limit) value
      setTotal(total) {
        if (typeof total !== "undefined" && total >= 0) {
          this.total = total;
        }
      }
      // force eta calculation update (long running processes)
      updateETA() {
        this.eta.update(Date.now(), this.value, this.total);
      }
    };
  }
});

// node_modules/cli-progress/lib/single-bar.js
var require_single_bar = __commonJS({
  "node_modules/cli-progress/lib/single-bar.js"(exports2, module2) {
    var _GenericBar = require_generic_bar();
    var _options = require_options();
    module2.exports = class SingleBar extends _GenericBar {
      constructor(options, preset) {
        super(_options.parse(options, preset));
        this.timer = null;
        if (this.options.noTTYOutput && this.terminal.isTTY() === false) {
          this.options.synchronousUpdate = false;
        }
        this.schedulingRate = this.terminal.isTTY() ? this.options.throttleTime : this.options.notTTYSchedule;
        this.sigintCallback = null;
      }
      // internal render function
      render() {
        if (this.timer) {
          clearTimeout(this.timer);
          this.timer = null;
        }
        super.render();
        if (this.options.noTTYOutput && this.terminal.isTTY() === false) {
          this.terminal.newline();
        }
        this.timer = setTimeout(this.render.bind(this), this.schedulingRate);
      }
      update(current, payload) {
        if (!this.timer) {
          return;
        }
        super.update(current, payload);
        if (this.options.synchronousUpdate && this.lastRedraw + this.options.throttleTime * 2 < Date.now()) {
          this.render();
        }
      }
      // start the progress bar
      start(total, startValue, payload) {
        if (this.options.noTTYOutput === false && this.terminal.isTTY() === false) {
          return;
        }
        if (this.sigintCallback === null && this.options.gracefulExit) {
          this.sigintCallback = this.stop.bind(this);
          process.once("SIGINT", this.sigintCallback);
          process.once("SIGTERM", this.sigintCallback);
        }
        this.terminal.cursorSave();
        if (this.options.hideCursor === true) {
          this.terminal.cursor(false);
        }
        if (this.options.linewrap === false) {
          this.terminal.lineWrapping(false);
        }
        super.start(total, startValue, payload);
        this.render();
      }
      // stop the bar
      stop() {
        if (!this.timer) {
          return;
        }
        if (this.sigintCallback) {
          process.removeListener("SIGINT", this.sigintCallback);
          process.removeListener("SIGTERM", this.sigintCallback);
          this.sigintCallback = null;
        }
        this.render();
        super.stop();
        clearTimeout(this.timer);
        this.timer = null;
        if (this.options.hideCursor === true) {
          this.terminal.cursor(true);
        }
        if (this.options.linewrap === false) {
          this.terminal.lineWrapping(true);
        }
        this.terminal.cursorRestore();
        if (this.options.clearOnComplete) {
          this.terminal.cursorTo(0, null);
          this.terminal.clearLine();
        } else {
          this.terminal.newline();
        }
      }
    };
  }
});

// node_modules/cli-progress/lib/multi-bar.js
var require_multi_bar = __commonJS({
  "node_modules/cli-progress/lib/multi-bar.js"(exports2, module2) {
    var _Terminal = require_terminal();
    var _BarElement = require_generic_bar();
    var _options = require_options();
    var _EventEmitter = require("events");
    module2.exports = class MultiBar extends _EventEmitter {
      constructor(options, preset) {
        super();
        this.bars = [];
        this.options = _options.parse(options, preset);
        this.options.synchronousUpdate = false;
        this.terminal = this.options.terminal ? this.options.terminal : new _Terminal(this.options.stream);
        this.timer = null;
        this.isActive = false;
        this.schedulingRate = this.terminal.isTTY() ? this.options.throttleTime : this.options.notTTYSchedule;
        this.loggingBuffer = [];
        this.sigintCallback = null;
      }
      // add a new bar to the stack
      create(total, startValue, payload, barOptions = {}) {
        const bar = new _BarElement(Object.assign(
          {},
          // global options
          this.options,
          // terminal instance
          {
            terminal: this.terminal
          },
          // overrides
          barOptions
        ));
        this.bars.push(bar);
        if (this.options.noTTYOutput === false && this.terminal.isTTY() === false) {
          return bar;
        }
        if (this.sigintCallback === null && this.options.gracefulExit) {
          this.sigintCallback = this.stop.bind(this);
          process.once("SIGINT", this.sigintCallback);
          process.once("SIGTERM", this.sigintCallback);
        }
        if (!this.isActive) {
          if (this.options.hideCursor === true) {
            this.terminal.cursor(false);
          }
          if (this.options.linewrap === false) {
            this.terminal.lineWrapping(false);
          }
          this.timer = setTimeout(this.update.bind(this), this.schedulingRate);
        }
        this.isActive = true;
        bar.start(total, startValue, payload);
        this.emit("start");
        return bar;
      }
      // remove a bar from the stack
      remove(bar) {
        const index = this.bars.indexOf(bar);
        if (index < 0) {
          return false;
        }
        this.bars.splice(index, 1);
        this.update();
        this.terminal.newline();
        this.terminal.clearBottom();
        return true;
      }
      // internal update routine
      update() {
        if (this.timer) {
          clearTimeout(this.timer);
          this.timer = null;
        }
        this.emit("update-pre");
        this.terminal.cursorRelativeReset();
        this.emit("redraw-pre");
        if (this.loggingBuffer.length > 0) {
          this.terminal.clearLine();
          while (this.loggingBuffer.length > 0) {
            this.terminal.write(this.loggingBuffer.shift(), true);
          }
        }
        for (let i = 0; i < this.bars.length; i++) {
          if (i > 0) {
            this.terminal.newline();
          }
          this.bars[i].render();
        }
        this.emit("redraw-post");
        if (this.options.noTTYOutput && this.terminal.isTTY() === false) {
          this.terminal.newline();
          this.terminal.newline();
        }
        this.timer = setTimeout(this.update.bind(this), this.schedulingRate);
        this.emit("update-post");
        if (this.options.stopOnComplete && !this.bars.find((bar) => bar.isActive)) {
          this.stop();
        }
      }
      stop() {
        clearTimeout(this.timer);
        this.timer = null;
        if (this.sigintCallback) {
          process.removeListener("SIGINT", this.sigintCallback);
          process.removeListener("SIGTERM", this.sigintCallback);
          this.sigintCallback = null;
        }
        this.isActive = false;
        if (this.options.hideCursor === true) {
          this.terminal.cursor(true);
        }
        if (this.options.linewrap === false) {
          this.terminal.lineWrapping(true);
        }
        this.terminal.cursorRelativeReset();
        this.emit("stop-pre-clear");
        if (this.options.clearOnComplete) {
          this.terminal.clearBottom();
        } else {
          for (let i = 0; i < this.bars.length; i++) {
            if (i > 0) {
              this.terminal.newline();
            }
            this.bars[i].render();
            this.bars[i].stop();
          }
          this.terminal.newline();
        }
        this.emit("stop");
      }
      log(s) {
        this.loggingBuffer.push(s);
      }
    };
  }
});

// node_modules/cli-progress/presets/legacy.js
var require_legacy = __commonJS({
  "node_modules/cli-progress/presets/legacy.js"(exports2, module2) {
    module2.exports = {
      format: "progress [{bar}] {percentage}% | ETA: {eta}s | {value}/{total}",
      barCompleteChar: "=",
      barIncompleteChar: "-"
    };
  }
});

// node_modules/cli-progress/presets/shades-classic.js
var require_shades_classic = __commonJS({
  "node_modules/cli-progress/presets/shades-classic.js"(exports2, module2) {
    module2.exports = {
      format: " {bar} {percentage}% | ETA: {eta}s | {value}/{total}",
      barCompleteChar: "\u2588",
      barIncompleteChar: "\u2591"
    };
  }
});

// node_modules/cli-progress/presets/shades-grey.js
var require_shades_grey = __commonJS({
  "node_modules/cli-progress/presets/shades-grey.js"(exports2, module2) {
    module2.exports = {
      format: " \x1B[90m{bar}\x1B[0m {percentage}% | ETA: {eta}s | {value}/{total}",
      barCompleteChar: "\u2588",
      barIncompleteChar: "\u2591"
    };
  }
});

// node_modules/cli-progress/presets/rect.js
var require_rect = __commonJS({
  "node_modules/cli-progress/presets/rect.js"(exports2, module2) {
    module2.exports = {
      format: " {bar}\u25A0 {percentage}% | ETA: {eta}s | {value}/{total}",
      barCompleteChar: "\u25A0",
      barIncompleteChar: " "
    };
  }
});

// node_modules/cli-progress/presets/index.js
var require_presets = __commonJS({
  "node_modules/cli-progress/presets/index.js"(exports2, module2) {
    var _legacy = require_legacy();
    var _shades_classic = require_shades_classic();
    var _shades_grey = require_shades_grey();
    var _rect = require_rect();
    module2.exports = {
      legacy: _legacy,
      shades_classic: _shades_classic,
      shades_grey: _shades_grey,
      rect: _rect
    };
  }
});

// node_modules/cli-progress/cli-progress.js
var require_cli_progress = __commonJS({
  "node_modules/cli-progress/cli-progress.js"(exports2, module2) {
    var _SingleBar = require_single_bar();
    var _MultiBar = require_multi_bar();
    var _Presets = require_presets();
    var _Formatter = require_formatter();
    var _defaultFormatValue = require_format_value();
    var _defaultFormatBar = require_format_bar();
    var _defaultFormatTime = require_format_time();
    module2.exports = {
      Bar: _SingleBar,
      SingleBar: _SingleBar,
      MultiBar: _MultiBar,
      Presets: _Presets,
      Format: {
        Formatter: _Formatter,
        BarFormat: _defaultFormatBar,
        ValueFormat: _defaultFormatValue,
        TimeFormat: _defaultFormatTime
      }
    };
  }
});

// package.json
var version = "0.1.0";

// ts/cli/advice.ts
var import_node_util = require("node:util");
var CALL = /:? call initialize\(\)(?: first| again)?/g;
function wantsInit(text) {
  return text.search(CALL) >= 0;
}
function withoutCalls(text) {
  return text.replace(CALL, "").replaceAll("initialize()", "`sagastore init`");
}
function advised(text, command) {
  return wantsInit(text) ? `${withoutCalls(text)}: run \`${command}\`` : withoutCalls(text);
}
function initCommand(given, side, store) {
  const prefix = side === "source" ? "" : "target-";
  const words = ["npx", "sagastore", "init"];
  const file = given.text(`${prefix}url-file`);
  if (given.urls[side === "source" ? 0 : 1] !== void 0) words.push(quoted(shownUrlOf(store)));
  else if (file !== void 0) words.push("--url-file", quoted(file));
  else if (side === "target") words.push('"$SAGASTORE_TARGET_URL"');
  for (const name of ["namespace", "options-file"]) {
    const value = given.text(`${prefix}${name}`);
    if (value !== void 0) words.push(`--${name}`, quoted(value));
  }
  for (const option of given.texts(`${prefix}option`)) words.push("--option", quoted(withoutSecret(option)));
  return words.join(" ");
}
function shownUrlOf(store) {
  return /url: '(.*)'/.exec((0, import_node_util.inspect)(store))?.[1] ?? "<URL>";
}
function withoutSecret(option) {
  return /secret|token|password|credentials/i.test(option) ? option.replace(/=.*$/s, "=***") : option;
}
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

// ts/cli/ask.ts
var import_promises = require("node:readline/promises");

// ts/cli/output.ts
var NobodyReads = class extends Error {
};
var CODES = { bold: [1, 22], dim: [2, 22], red: [31, 39], yellow: [33, 39], green: [32, 39] };
var MEASURED = 200;
var Output = class _Output {
  isJson;
  isQuiet;
  #colors;
  #stream;
  #isClosed = false;
  constructor(options, stream = process.stdout) {
    this.#stream = stream;
    this.isJson = options.json;
    this.isQuiet = options.quiet;
    this.#colors = options.color && !process.env.NO_COLOR && process.env.TERM !== "dumb";
    this.#stream.on("error", () => {
      this.#isClosed = true;
    });
    process.stderr.on("error", () => void 0);
  }
  /** Whether nobody reads stdout any more. */
  get isClosed() {
    return this.#isClosed;
  }
  /** The same with results on stderr: stdout has something else. With `--quiet` there are none. */
  onStderr() {
    const options = { json: false, quiet: this.isQuiet, color: this.#colors };
    return this.isQuiet ? new SilentOutput(options, process.stderr) : new _Output(options, process.stderr);
  }
  /** Prints bytes or text; waits until there is room for more. */
  async write(data) {
    if (this.#isClosed) throw new NobodyReads();
    const written = new Promise((resolve, reject) => {
      this.#stream.write(data, (error) => {
        if (error == null) resolve();
        else reject(error.code === "EPIPE" ? new NobodyReads() : error);
      });
    });
    await written;
  }
  async line(text = "") {
    await this.write(`${text}
`);
  }
  /** A value as JSON: one line. */
  async json(value) {
    await this.line(JSON.stringify(value, jsonValue));
  }
  /** The result: JSON of the value, or what `human` prints. */
  async result(value, human) {
    if (this.isJson) await this.json(value);
    else await human();
  }
  /** Names and values, one a line. What is null or undefined is left out. */
  async facts(facts, indent = "") {
    const shown = facts.filter(([, value]) => value !== null && value !== void 0);
    const width = Math.max(0, ...shown.map(([name]) => name.length));
    for (const [name, value] of shown) await this.line(`${indent}${this.style("dim", name.padEnd(width))}  ${shownValue(value)}`);
  }
  /** A list: with `--json` a value a line, otherwise a table. Answers how many there were. */
  async list(rows, columns, toJson = (row) => row) {
    let count2 = 0;
    if (this.isJson) {
      for await (const row of rows) {
        count2 += 1;
        await this.json(toJson(row));
      }
      return count2;
    }
    let widths;
    let held = [];
    const flush = async () => {
      const titles = columns.map(({ title }) => title);
      widths ??= this.#widths([titles, ...held], columns);
      if (count2 === held.length && count2 > 0) await this.line(this.style("bold", this.#row(titles, columns, widths)));
      for (const cells of held) await this.line(this.#row(cells, columns, widths));
      held = [];
    };
    for await (const row of rows) {
      count2 += 1;
      held.push(columns.map(({ of }) => shownText(String(of(row) ?? "-"))));
      if (held.length >= MEASURED) await flush();
    }
    if (held.length > 0) await flush();
    return count2;
  }
  /** A remark on stderr; none with `--quiet`. */
  note(text) {
    if (!this.isQuiet) process.stderr.write(`${text}
`);
  }
  /** Something that should not be missed, on stderr. */
  warn(text) {
    process.stderr.write(`${this.styleOf(process.stderr, "yellow", "warning:")} ${shownText(text)}
`);
  }
  /** Text in a colour, where stdout has colours. */
  style(style, text) {
    return this.styleOf(process.stdout, style, text);
  }
  styleOf(stream, style, text) {
    if (!this.#colors || stream.isTTY !== true) return text;
    const [on, off] = CODES[style];
    return `\x1B[${on}m${text}\x1B[${off}m`;
  }
  #widths(rows, columns) {
    const widths = columns.map((_, at) => Math.max(...rows.map((row) => row[at].length)));
    if (!process.stdout.isTTY) return widths;
    const room = process.stdout.columns - 2 * (widths.length - 1);
    const over = () => widths.reduce((sum, width) => sum + width, 0) - room;
    const widest = (least, may) => {
      const order = columns.map((_, at) => at).filter(may);
      for (const at of order.sort((a, b) => widths[b] - widths[a])) {
        const width = widths[at];
        if (over() > 0 && width > least) widths[at] = Math.max(least, width - over());
      }
    };
    widest(12, (at) => columns[at]?.shrinks === true);
    widest(6, () => true);
    return widths;
  }
  #row(cells, columns, widths) {
    const padded = cells.map((cell, at) => {
      const width = widths[at];
      const text = process.stdout.isTTY && cell.length > width ? `${cell.slice(0, width - 1)}\u2026` : cell;
      return columns[at]?.right ? text.padStart(width) : text.padEnd(width);
    });
    const line = padded.join("  ").trimEnd();
    return process.stdout.isTTY && line.length > process.stdout.columns ? `${line.slice(0, process.stdout.columns - 1)}\u2026` : line;
  }
};
function jsonValue(name, value) {
  const given = this[name];
  return given instanceof Uint8Array ? { base64: Buffer.from(given).toString("base64") } : value;
}
function shownText(text) {
  return text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    const code = character.codePointAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
  });
}
function shownValue(value) {
  if (value instanceof Date) return value.toISOString();
  if (typeof value === "string") return shownText(value);
  if (typeof value === "number") return value.toLocaleString("en-US", { maximumFractionDigits: 3 });
  return shownText(JSON.stringify(value, jsonValue) ?? "-");
}
var SilentOutput = class extends Output {
  async write() {
  }
};

// ts/cli/spec.ts
var EXIT = {
  done: 0,
  failed: 1,
  wrongUse: 2,
  /** It is done, and something failed or differs. */
  differs: 3,
  unreachable: 4,
  interrupted: 130
};
var STORE_OPTIONS = [
  { name: "url-file", value: "file", about: "read the URL from a file: a password in an argument can be seen by others" },
  { name: "namespace", value: "name", about: "the store's option namespace" },
  {
    name: "option",
    value: "name=value",
    many: true,
    about: "any other option of the store, such as tableName=claims; a part is outbox.maxRetries=5"
  },
  { name: "options-file", value: "file", about: "read options of the store from a JSON file" },
  { name: "timeout", value: "duration", kind: "duration", about: "how long one operation may take (default 30s)" }
];
var TARGET_OPTIONS = [
  { name: "target-url-file", value: "file", about: "read the target's URL from a file" },
  { name: "target-namespace", value: "name", about: "the target's option namespace" },
  { name: "target-option", value: "name=value", many: true, about: "any other option of the target" },
  { name: "target-options-file", value: "file", about: "read options of the target from a JSON file" }
];
var JSON_OPTIONS = {
  value: { name: "json", about: "print JSON and nothing else" },
  lines: { name: "json", about: "print JSON and nothing else, one record a line" }
};
var COMMON_OPTIONS = [
  { name: "quiet", about: "no progress, no remarks" },
  { name: "no-color", about: "no colours; the variable NO_COLOR does the same" }
];
function optionsOf(command) {
  return [
    ...command.options ?? [],
    ...command.asks ? [{ name: "yes", about: "do not ask" }] : [],
    ...command.urls > 0 ? STORE_OPTIONS : [],
    ...command.urls > 1 ? TARGET_OPTIONS : [],
    ...command.json === void 0 ? [] : [JSON_OPTIONS[command.json]],
    ...COMMON_OPTIONS
  ];
}
function usageOf({ urls, takes = [] }) {
  const given = takes.map(({ name, optional, many }) => {
    const shown = many ? `${name}...` : name;
    return optional ? `[${shown}]` : `<${shown}>`;
  });
  return [...["[URL]", "[TARGET]"].slice(0, urls), ...given].join(" ");
}
var WrongUse = class extends Error {
};
var Told = class extends Error {
  exit;
  constructor(message, exit = EXIT.failed) {
    super(message);
    this.exit = exit;
  }
};

// ts/cli/ask.ts
async function ask(question, isAgreed, signal) {
  if (isAgreed) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new WrongUse(`${shownText(question)} There is no terminal to ask on: --yes says yes`);
  }
  const terminal = (0, import_promises.createInterface)({ input: process.stdin, output: process.stderr });
  try {
    terminal.on("SIGINT", () => {
      process.stderr.write("\n");
      process.kill(process.pid, "SIGINT");
    });
    const answer = await terminal.question(`${shownText(question)} [y/N] `, { signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw new Told("nothing was changed");
  } finally {
    terminal.close();
  }
}

// ts/cli/failures.ts
function codeOf(error) {
  if (!(error instanceof Error) || !("code" in error) || !("retryable" in error)) return void 0;
  return String(error.code);
}
var EXITS = {
  INVALID_ARGUMENT: EXIT.wrongUse,
  CONNECTION: EXIT.unreachable,
  TIMEOUT: EXIT.unreachable
};
function exitOf(error) {
  if (error instanceof Told) return error.exit;
  return EXITS[codeOf(error) ?? ""] ?? EXIT.failed;
}
function messageOf(error) {
  if (!(error instanceof Error)) return shownText(String(error));
  const isKnown = error instanceof Told || codeOf(error) !== void 0 || "syscall" in error || error.message.startsWith("sagastore: ");
  if (!isKnown) return error.stack ?? error.message;
  const messages = [];
  for (let at = error; at instanceof Error && messages.length < 6; at = at.cause) {
    const message = at.message.split("\n").map(shownText).join("\n");
    if (!messages.some((before) => before.includes(message))) messages.push(message);
  }
  const code = codeOf(error);
  return `${messages.join(": ")}${code === void 0 ? "" : ` (${code})`}`;
}
function notFound(what) {
  return new Told(`not found: ${what}`);
}

// ts/cli/quantities.ts
var UNITS = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };
var SIZES = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };
function millisecondsOf(text) {
  if (!/^(\d+(\.\d+)?(ms|[smhdw]))+$/.test(text)) return void 0;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) total += Number(amount) * UNITS[unit];
  return Number.isSafeInteger(Math.round(total)) ? Math.round(total) : void 0;
}
function bytesOf(text) {
  const [, amount, unit] = /^(\d+)([kmg]?)$/i.exec(text) ?? [];
  if (amount === void 0 || unit === void 0) return void 0;
  const bytes = Number(amount) * SIZES[unit.toLowerCase()];
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : void 0;
}
function dateOf(text) {
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/.test(text)) return void 0;
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? void 0 : date;
}
function shownDuration(ms) {
  if (ms < 1e3) return `${Math.round(ms)} ms`;
  const parts = [];
  let rest = ms;
  for (const unit of ["d", "h", "m", "s"]) {
    const size = UNITS[unit];
    const count2 = Math.floor(rest / size);
    rest -= count2 * size;
    if (count2 > 0) parts.push(`${count2} ${unit}`);
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}
function shownBytes(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const at = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log(bytes) / Math.log(1024)));
  return `${at === 0 ? bytes : (bytes / 1024 ** at).toFixed(1)} ${units[at]}`;
}
function shownDistance(at, now = Date.now()) {
  const distance = at.getTime() - now;
  return distance >= 0 ? `in ${shownDuration(distance)}` : `${shownDuration(-distance)} ago`;
}
function counted(count2, word, several = `${word}s`) {
  return `${count2.toLocaleString("en-US")} ${count2 === 1 ? word : several}`;
}

// ts/cli/given.ts
var Given = class _Given {
  #options;
  #arguments;
  /** The URLs that were given as arguments. */
  urls;
  constructor(options, taken, urls) {
    this.#options = options;
    this.#arguments = taken;
    this.urls = urls;
  }
  /** `options`: texts, lists of texts, and true for flags, by the names of the options. */
  static of(command, options, positionals) {
    const read = /* @__PURE__ */ new Map();
    for (const spec of optionsOf(command)) {
      const given = options.get(spec.name);
      if (given !== void 0) read.set(spec.name, readOption(spec, given));
    }
    const [urls, rest] = splitUrls(command, read, positionals);
    return new _Given(read, bind(command, rest), urls);
  }
  flag(name) {
    return this.#options.get(name) === true;
  }
  text(name) {
    const value = this.#options.get(name);
    return typeof value === "string" ? value : void 0;
  }
  /** Of a whole number, a duration in ms, or bytes. */
  number(name) {
    const value = this.#options.get(name);
    return typeof value === "number" ? value : void 0;
  }
  date(name) {
    const value = this.#options.get(name);
    return value instanceof Date ? value : void 0;
  }
  /** Of an option that may be given several times. */
  texts(name) {
    const value = this.#options.get(name);
    return Array.isArray(value) ? value : [];
  }
  /** An argument that must be there. */
  argument(name) {
    return this.#arguments.get(name)?.[0] ?? "";
  }
  /** An argument of which there may be none or several. */
  arguments(name) {
    return this.#arguments.get(name) ?? [];
  }
};
function readOption(spec, given) {
  if (spec.value === void 0) return given === true;
  if (spec.many) return (Array.isArray(given) ? given : [given]).map((one) => readText(spec, String(one)));
  return readText(spec, String(given));
}
function readText({ name, kind, choices }, text) {
  if (choices !== void 0 && !choices.includes(text)) {
    throw new WrongUse(`option '--${name}' must be one of ${choices.join(", ")}; it is '${text}'`);
  }
  const readers = { whole: wholeOf, duration: millisecondsOf, bytes: bytesOf, date: dateOf };
  if (kind === void 0 || kind === "text") return text;
  const value = readers[kind](text);
  if (value !== void 0) return value;
  const wanted = {
    whole: "a whole number above 0",
    duration: "a duration such as 500ms, 30s, 15m, 2h or 7d",
    bytes: "a number of bytes such as 65536, 64k, 10M or 1G",
    date: "a time such as 2026-12-31T23:00:00Z"
  };
  throw new WrongUse(`option '--${name}' must be ${wanted[kind]}; it is '${text}'`);
}
function wholeOf(text) {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) && value > 0 ? value : void 0;
}
var URL_LIKE = /^(memory|sqlite|postgres|postgresql|redis|rediss|redis-cluster|rediss-cluster|redis-sentinel|rediss-sentinel|mongodb|mongodb\+srv|dynamodb):|^[a-z][a-z0-9+.-]*:\/\//;
function splitUrls({ urls, takes = [] }, options, positionals) {
  if (urls === 0) return [[], positionals];
  if (urls === 2) {
    const hasSource = options.has("url-file");
    const [first2, second] = positionals;
    if (options.has("target-url-file")) return [[hasSource ? void 0 : first2, void 0], positionals.slice(hasSource ? 0 : 1)];
    if (hasSource || positionals.length < 2) return [[void 0, first2], positionals.slice(1)];
    return [[first2, second], positionals.slice(2)];
  }
  const [first] = positionals;
  if (first === void 0 || options.has("url-file")) return [[void 0], positionals];
  return URL_LIKE.test(first) || takes.length === 0 ? [[first], positionals.slice(1)] : [[void 0], positionals];
}
function bind({ takes = [], urls }, positionals) {
  const bound = /* @__PURE__ */ new Map();
  let at = 0;
  for (const { name, optional, many, choices } of takes) {
    const taken = positionals.slice(at, many ? void 0 : at + 1);
    if (taken.length === 0 && !optional) throw new WrongUse(`the argument <${name}> is missing`);
    const wrong = choices === void 0 ? void 0 : taken.find((one) => !choices.includes(one));
    if (wrong !== void 0) throw new WrongUse(`the argument <${name}> must be one of ${choices?.join(", ")}; it is '${wrong}'`);
    bound.set(name, taken);
    at += taken.length;
  }
  if (at < positionals.length) {
    const first = urls === 1 && takes.length > 0 ? ": the URL comes first" : "";
    throw new WrongUse(`${positionals.length - at} argument${positionals.length - at > 1 ? "s" : ""} too many${first}`);
  }
  return bound;
}

// node_modules/commander/esm.mjs
var import_index = __toESM(require_commander(), 1);
var {
  program,
  createCommand,
  createArgument,
  createOption,
  CommanderError,
  InvalidArgumentError,
  InvalidOptionArgumentError,
  // deprecated old name
  Command,
  Argument,
  Option,
  Help
} = import_index.default;

// ts/cli/doctor/findings.ts
var CODES2 = {
  unreachable: "Check the URL, the network and the login: `sagastore health` tells the same.",
  "not-healthy": "See what `sagastore health` says.",
  "missing-table": "Run `sagastore init`, or the statements of `sagastore schema`.",
  "missing-column": "Run `sagastore init`, or the statements of `sagastore schema`.",
  "missing-index": "Run `sagastore init`, or the statements of `sagastore schema`.",
  "missing-rights": 'Grant the role what is missing: see "Rights" in docs/operating.md.',
  "read-only": "Connect to the primary, or give the file and its directory to the user that runs the application.",
  "old-server": 'Update the server: see "needs" in docs/backends.md.',
  "ttl-off": "Run `sagastore init` to switch it on; where the server has none, run `sagastore cleanup` every few minutes.",
  eviction: "Set `maxmemory-policy noeviction`: anything else may throw payloads away.",
  "clock-offset": "Have this machine and the server keep their time by NTP: timeouts, leases and expiries depend on it.",
  "blocked-keys": "See `sagastore outbox dead`, then `outbox requeue` or `outbox discard`: the events behind them go on.",
  "dead-letters": "See `sagastore outbox dead`, then `outbox requeue` or `outbox discard`.",
  "stuck-events": "See `sagastore outbox stuck`; once the worker is known to be dead: `outbox stuck --release`.",
  "late-events": "See whether a relay runs: nobody has published what is ready.",
  "parked-executions": "See `sagastore executions parked` and `executions show`, then `executions redrive`.",
  "late-executions": "See whether a worker runs: nobody has claimed what is due.",
  "vacuum-held-back": "End the transaction (`select pg_terminate_backend(pid)`), or drop the replication slot: dead rows cannot be removed.",
  "vacuum-off": "Switch autovacuum on again: tables and indexes grow without end.",
  "large-wal": "Find the process that keeps a read transaction open on the file: the WAL cannot be written back.",
  damaged: "Restore the file from a backup, or save what can be read: `sqlite3 old.db .recover | sqlite3 new.db`."
};
var SCHEMA = ", or the statements of `sagastore schema`";
var Findings = class {
  found = [];
  unchecked = [];
  #init;
  #hasSchema;
  /** `init`: the command line that makes the tables. `hasSchema`: whether they can be made by statements as well. */
  constructor(init2, hasSchema) {
    this.#init = init2;
    this.#hasSchema = hasSchema;
  }
  add(code, told) {
    const message = withoutCalls(told);
    if (this.found.some((before) => before.code === code && before.message === message)) return;
    const general = this.#hasSchema ? CODES2[code] : CODES2[code].replace(SCHEMA, "");
    const mend = general.replace(/sagastore (init|schema)/g, (_, name) => this.#init.replace(" init", ` ${name}`));
    this.found.push({ code, message, mend });
  }
  /** A check that the server refuses is not a finding. */
  async check(what, look) {
    try {
      await look();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const reason = wantsInit(message) ? `tables and indexes: ${withoutCalls(message)}` : `${what}: ${message}`;
      if (!this.unchecked.includes(reason)) this.unchecked.push(reason);
    }
  }
};

// ts/cli/doctor/general.ts
var OLDEST = { postgres: [12, 0], redis: [6, 2], mongodb: [4, 2] };
var CLOCK_MS = 1e3;
function judgeHealth(health2, findings) {
  const { status, message = "", details, serverVersion, backend } = health2;
  if (status === "unhealthy") {
    findings.add(/read-only/.test(message) ? "read-only" : "unreachable", message);
    return false;
  }
  if (status === "degraded") judgeMessage(message, findings);
  if (typeof details.clockOffsetMs === "number") judgeClock(details.clockOffsetMs, findings);
  judgeVersion(backend, serverVersion, findings);
  if (backend === "mongodb" && details.expiry === "cleanup") {
    findings.add("ttl-off", "the server does not remove expired payloads by itself");
  }
  const policy = details.maxmemoryPolicy;
  if (typeof policy === "string" && policy !== "noeviction" && details.maxmemory !== 0) {
    findings.add("eviction", `maxmemory-policy is ${policy}: when its memory is full, Redis throws payloads away`);
  }
  return true;
}
function judgeMessage(message, findings) {
  for (const part of message.split("; ")) {
    if (/^\d+ (executions are parked|keys wait behind)/.test(part)) continue;
    if (part.startsWith("this role lacks the rights")) continue;
    if (/lacks the (actions|permission)|user may not run/.test(part)) findings.add("missing-rights", part);
    else if (/read-only/.test(part)) findings.add("read-only", part);
    else if (/no index|lacks the index/.test(part)) findings.add("missing-index", part);
    else if (/does not exist|no such table|call initialize/.test(part) && !/TTL/i.test(part)) findings.add("missing-table", part);
    else if (/TTL/i.test(part)) findings.add("ttl-off", part);
    else findings.add("not-healthy", part);
  }
}
function judgeClock(aheadMs, findings) {
  if (Math.abs(aheadMs) < CLOCK_MS) return;
  const where = aheadMs > 0 ? "ahead of" : "behind";
  findings.add("clock-offset", `the server's clock is ${shownDuration(Math.abs(aheadMs))} ${where} this machine's`);
}
function judgeVersion(backend, version2, findings) {
  const oldest = OLDEST[backend];
  const [, major, minor = "0"] = /^(\d+)(?:\.(\d+))?/.exec(version2 ?? "") ?? [];
  if (oldest === void 0 || major === void 0) return;
  const isOld = Number(major) < oldest[0] || Number(major) === oldest[0] && Number(minor) < oldest[1];
  if (isOld) findings.add("old-server", `the server has version ${version2}; ${oldest.join(".")} is the oldest that works`);
}
async function readKinds(store, limits, findings) {
  const id = "sagastore-doctor";
  const isSql = store.backend === "postgres" || store.backend === "sqlite";
  const trying = (kind, read) => tryingTo(kind, findings, read, isSql);
  await trying("payloads", () => store.has(id));
  await trying("sagas", () => store.states.countByName("SagastoreDoctor"));
  await trying("executions", () => judgeExecutions(store, limits, findings));
  await trying("events", () => judgeOutbox(store, limits, findings));
  await trying("messages", () => store.inbox.has(id, id));
}
async function judgeExecutions(store, { lateMs }, findings) {
  const { parked: parked2, oldestDueAt } = await store.executions.statistics();
  if (parked2 > 0) findings.add("parked-executions", `${counted(parked2, "execution is", "executions are")} parked: nobody works on them`);
  const late = oldestDueAt === null ? 0 : Date.now() - oldestDueAt.getTime();
  if (late >= lateMs) findings.add("late-executions", `an execution has been due for ${shownDuration(late)}, and nobody has claimed it`);
}
async function judgeOutbox(store, { lateMs, stuckMs }, findings) {
  const { dead: dead2, oldestReadyMs, blockedKeys } = await store.outbox.statistics();
  if (dead2 > 0) findings.add("dead-letters", `${counted(dead2, "event is a dead letter", "events are dead letters")}`);
  if (blockedKeys > 0) findings.add("blocked-keys", `${counted(blockedKeys, "key waits", "keys wait")} behind dead letters`);
  if (oldestReadyMs !== null && oldestReadyMs >= lateMs && blockedKeys === 0) {
    findings.add("late-events", `an event has been ready for ${shownDuration(oldestReadyMs)}, and nobody has published it`);
  }
  const stuck2 = await store.outbox.findStuck({ olderThanMs: stuckMs, limit: 1e3 });
  const [first] = stuck2;
  if (first !== void 0) {
    findings.add(
      "stuck-events",
      `${counted(stuck2.length, "event has", "events have")} been with workers for more than ${shownDuration(stuckMs)}, such as '${first.eventId}' with '${first.workerId}'`
    );
  }
}
async function tryingTo(kind, findings, read, hasCatalog = false) {
  try {
    await read();
  } catch (error) {
    const message = `${kind}: ${messageOf(error)}`;
    const isKnown = findings.found.some(({ code }) => code.startsWith("missing-"));
    if (isKnown && hasCatalog) return;
    if (/permission denied|NOPERM|not authorized|Unauthorized|AccessDenied|may not/i.test(message)) findings.add("missing-rights", message);
    else if (/no such column|column .* does not exist|lacks (the column|[a-z_]+)/i.test(message)) findings.add("missing-column", message);
    else if (/does not exist|no such table|initialize\(\)/i.test(message)) findings.add("missing-table", message);
    else if (/old/i.test(message) && /UNSUPPORTED/.test(message)) findings.add("old-server", message);
    else findings.add("not-healthy", message);
  }
}
async function writeOne(store, findings) {
  const id = `sagastore-doctor-${process.pid}-${Date.now()}`;
  await tryingTo("writing", findings, async () => {
    await store.put(id, Buffer.from("written by sagastore doctor"), new Date(Date.now() + 6e4));
    await store.delete(id);
  });
}

// ts/cli/doctor/postgres.ts
function wantedOf(sql) {
  const tables = [...sql.matchAll(/create table if not exists ((?:"[^"]+"\.)?"[^"]+") \(/g)].map(({ 1: table, 0: head, index: index2 }) => ({
    table,
    columns: columnsOf(sql, index2 + head.length)
  }));
  const index = /create (?:unique )?index if not exists "([^"]+)" on ((?:"[^"]+"\.)?"[^"]+") (?:using \w+ )?\(([^)]*)\)/g;
  const indexes = [...sql.matchAll(index)].map(({ 1: name, 2: table, 3: columns }) => ({
    name,
    table,
    columns
  }));
  return { tables, indexes };
}
function columnsOf(sql, from) {
  const parts = [""];
  let depth = 1;
  for (let at = from; at < sql.length && depth > 0; at += 1) {
    const character = sql[at];
    if (character === "(") depth += 1;
    if (character === ")") depth -= 1;
    if (depth === 1 && character === ",") parts.push("");
    else parts[parts.length - 1] += character;
  }
  const first = parts.map((part) => /^\s*"?(\w+)"?/.exec(part)?.[1] ?? "");
  return first.filter((name) => !["primary", "unique", "constraint", "check", "foreign", "exclude", ""].includes(name.toLowerCase()));
}
var RIGHTS = ["select", "insert", "update", "delete"];
async function lookAtPostgres(store, limits, findings) {
  const wanted = wantedOf(store.schemaSql());
  const ask2 = (sql, values = []) => store.transaction((tx) => tx.query(sql, values));
  for (const { table, columns } of wanted.tables) {
    await findings.check(table, async () => {
      const found = await ask2(
        "select attname::text as name from pg_attribute where attrelid = to_regclass($1::text) and attnum > 0 and not attisdropped",
        [table]
      );
      if (found.length === 0) return findings.add("missing-table", `table ${table} does not exist`);
      const missing = columns.filter((column) => !found.some(({ name }) => name === column));
      if (missing.length > 0) findings.add("missing-column", `table ${table} lacks ${missing.join(", ")}`);
      const rights = RIGHTS.map((right) => `has_table_privilege(to_regclass($1::text), '${right}') as "${right}"`).join(", ");
      const [allowed = {}] = await ask2(`select ${rights}`, [table]);
      const denied = RIGHTS.filter((right) => allowed[right] !== true);
      if (denied.length > 0) findings.add("missing-rights", `this role may not ${denied.join(", ")} in table ${table}`);
    });
  }
  for (const { name, table, columns } of wanted.indexes) {
    await findings.check(name, async () => {
      const [first = ""] = columns.split(/[ ,]/);
      const found = await ask2(
        `select i.indisvalid as valid from pg_index i join pg_class c on c.oid = i.indexrelid
         left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
         where i.indrelid = to_regclass($1::text) and (c.relname = $2::text or ($3::bool and a.attname = $4::text))`,
        [table, name, columns === first, first]
      );
      const [there] = await ask2("select to_regclass($1::text) is not null as there", [table]);
      if (there?.there !== true || found.some(({ valid }) => valid)) return;
      findings.add("missing-index", `table ${table} has no ${found.length > 0 ? "valid " : ""}index ${name} on (${columns})`);
    });
  }
  await findings.check("clock", async () => {
    const before = Date.now();
    const [row] = await ask2("select clock_timestamp() as now");
    const after = Date.now();
    if (row !== void 0) judgeClock(row.now.getTime() - (before + after) / 2, findings);
  });
  await findings.check("vacuum", () => lookForVacuum(ask2, wanted.tables, limits, findings));
}
async function lookForVacuum(ask2, tables, { vacuumMs }, findings) {
  const held = await ask2(
    `select format('process %s (%s, %s)', pid, coalesce(nullif(application_name, ''), usename), state) as what,
            (extract(epoch from clock_timestamp() - xact_start) * 1000)::float8 as ms
       from pg_stat_activity
      where (backend_xmin is not null or backend_xid is not null) and pid <> pg_backend_pid() and datname = current_database()
        and backend_type = 'client backend' and xact_start < clock_timestamp() - $1::float8 * interval '1 millisecond'
     union all
     select format('prepared transaction %s', gid), (extract(epoch from clock_timestamp() - prepared) * 1000)::float8
       from pg_prepared_xacts
      where database = current_database() and prepared < clock_timestamp() - $1::float8 * interval '1 millisecond'
      order by 2 desc limit 10`,
    [vacuumMs]
  );
  for (const { what, ms } of held) findings.add("vacuum-held-back", `${what} has kept a transaction open for ${shownDuration(ms)}`);
  const slots = await ask2(
    "select slot_name::text as name from pg_replication_slots where not active and (xmin is not null or catalog_xmin is not null)"
  );
  for (const { name } of slots) findings.add("vacuum-held-back", `the replication slot ${name} is used by nobody, and keeps old rows`);
  const [server] = await ask2("select current_setting('autovacuum') as autovacuum");
  if (server?.autovacuum === "off") findings.add("vacuum-off", "autovacuum is off on the whole server");
  const off = await ask2(
    `select oid::regclass::text as name from pg_class
      where oid = any (select to_regclass(t)::oid from unnest($1::text[]) t) and 'autovacuum_enabled=false' = any (reloptions)`,
    [tables.map(({ table }) => table)]
  );
  for (const { name } of off) findings.add("vacuum-off", `autovacuum is off for table ${name}`);
}

// ts/cli/doctor/sqlite.ts
var LARGE_WAL = 256 * 1024 * 1024;
async function lookAtSqlite(store, reference, health2, findings) {
  await reference.initialize();
  const ask2 = (on, sql) => on.transaction((tx) => tx.query(sql));
  await findings.check("tables", async () => {
    const columns = `select m.name as owner, c.name from sqlite_master m join pragma_table_info(m.name) c where m.type = 'table' and m.name not like 'sqlite!_%' escape '!'`;
    const [wanted, found] = [await ask2(reference, columns), await ask2(store, columns)];
    const has = (owner, name) => found.some((column) => same(column.owner, owner) && same(column.name, name));
    for (const owner of new Set(wanted.map((column) => column.owner))) {
      if (!found.some((column) => same(column.owner, owner))) {
        findings.add("missing-table", `table ${owner} does not exist`);
        continue;
      }
      const missing = wanted.filter((column) => column.owner === owner && !has(owner, column.name)).map(({ name }) => name);
      if (missing.length > 0) findings.add("missing-column", `table ${owner} lacks ${missing.join(", ")}`);
    }
    const indexes = `select l.name, m.name as owner, (select group_concat(coalesce(name, '?')) from pragma_index_info(l.name)) as columns
                       from sqlite_master m join pragma_index_list(m.name) l where m.type = 'table' and l.origin = 'c'`;
    const [needed, there] = [await ask2(reference, indexes), await ask2(store, indexes)];
    for (const index of needed.filter(({ owner }) => found.some((column) => same(column.owner, owner)))) {
      if (there.some(({ owner, columns: on }) => same(owner, index.owner) && on === index.columns)) continue;
      findings.add("missing-index", `table ${index.owner} has no index ${index.name} on (${index.columns})`);
    }
  });
  const walBytes = Number(health2.details.walBytes ?? 0);
  if (walBytes > LARGE_WAL) findings.add("large-wal", `the WAL has ${shownBytes(walBytes)}`);
  await findings.check("the file", async () => {
    const [row] = await ask2(store, "pragma quick_check(1)");
    if (row !== void 0 && row.quick_check !== "ok") findings.add("damaged", row.quick_check);
  });
}
function same(one, other) {
  return one.toLowerCase() === other.toLowerCase();
}

// ts/cli/stores.ts
var import_node_fs = require("node:fs");
function library() {
  return require("./index.js");
}
function openStore(given, side, onWarning, place) {
  const prefix = side === "source" ? "" : "target-";
  const url = place ?? urlOf(given, side);
  const options = { ...optionsOf2(given, prefix), url };
  const warn = (message) => {
    const [, text] = /^sagastore \S+: (.*)$/s.exec(String(message)) ?? [];
    if (text !== void 0) onWarning(text);
  };
  const silent = () => void 0;
  const logger = { debug: silent, info: silent, warn, error: silent, isLevelEnabled: (level) => level === "warn" };
  const { openStore: openStore2, SagaStoreError } = library();
  try {
    return openStore2(process.env.SAGASTORE_LOG ? options : { ...options, logger });
  } catch (error) {
    throw error instanceof SagaStoreError ? new WrongUse(error.message) : error;
  }
}
function urlOf(given, side) {
  const [file, variable] = side === "source" ? ["url-file", "SAGASTORE_URL"] : ["target-url-file", "SAGASTORE_TARGET_URL"];
  const argument = given.urls[side === "source" ? 0 : 1];
  const path = given.text(file);
  if (argument !== void 0 && path !== void 0) throw new WrongUse(`give the URL as an argument or with --${file}, not both`);
  const url = argument ?? (path === void 0 ? process.env[variable] : readText2(path).trim());
  if (url !== void 0 && url !== "") return url;
  const what = side === "source" ? "URL" : "URL of a target";
  throw new WrongUse(`no ${what}: give it as an argument, with --${file} or in ${variable}`);
}
function optionsOf2(given, prefix) {
  const options = {};
  const path = given.text(`${prefix}options-file`);
  if (path !== void 0) {
    let read;
    try {
      read = JSON.parse(readText2(path));
    } catch (error) {
      if (error instanceof Told) throw error;
      throw new WrongUse(`--${prefix}options-file ${path} is not JSON: ${error.message}`);
    }
    if (typeof read !== "object" || read === null || Array.isArray(read)) {
      throw new WrongUse(`--${prefix}options-file ${path} must hold an object`);
    }
    Object.assign(options, read);
  }
  for (const text of given.texts(`${prefix}option`)) {
    const at = text.indexOf("=");
    if (at < 1) throw new WrongUse(`option '--${prefix}option' must be name=value`);
    set(options, text.slice(0, at), jsonOr(text.slice(at + 1)));
  }
  const namespace = given.text(`${prefix}namespace`);
  if (namespace !== void 0) options.namespace = namespace;
  const timeout = given.number("timeout");
  if (timeout !== void 0) {
    options.operationTimeoutMs = timeout;
    options.connectTimeoutMs ??= Math.min(5e3, timeout);
  }
  for (const name of ["url", "client", "logger", "getTransaction", "requireTransaction"]) {
    if (name in options) throw new WrongUse(`the option '${name}' of the store cannot be given here`);
  }
  return options;
}
function set(options, name, value) {
  const [first, second, ...more] = name.split(".");
  if (more.length > 0 || Object.hasOwn(Object.prototype, first)) throw new WrongUse(`the store has no option '${name}'`);
  if (second === void 0) {
    options[first] = value;
    return;
  }
  const whole = options[first];
  options[first] = { ...typeof whole === "object" && whole !== null ? whole : {}, [second]: value };
}
function jsonOr(text) {
  if (!/^(-?\d|true$|false$|null$|[[{"])/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
function readText2(path) {
  try {
    return (0, import_node_fs.readFileSync)(path, "utf8");
  } catch (error) {
    throw new Told(error.message);
  }
}

// ts/cli/commands/doctor.ts
async function doctor({ open: open2, out, given, initCommand: initCommand2 }) {
  const limits = {
    stuckMs: given.number("stuck-after") ?? 6e5,
    lateMs: given.number("late-after") ?? 6e5,
    vacuumMs: given.number("vacuum-after") ?? 6e5
  };
  const store = open2(() => void 0);
  const health2 = await store.health();
  const findings = new Findings(initCommand2("source"), ["postgres", "sqlite"].includes(store.backend));
  if (judgeHealth(health2, findings)) {
    if (store.backend === "postgres") await lookAtPostgres(store, limits, findings);
    if (store.backend === "sqlite") {
      var _stack = [];
      try {
        const reference = __using(_stack, openStore(given, "source", () => void 0, "sqlite::memory:"), true);
        await lookAtSqlite(store, reference, health2, findings);
      } catch (_) {
        var _error = _, _hasError = true;
      } finally {
        var _promise = __callDispose(_stack, _error, _hasError);
        _promise && await _promise;
      }
    }
    await readKinds(store, limits, findings);
    if (given.flag("write")) await writeOne(store, findings);
  }
  const ignored = new Set(given.texts("ignore"));
  const found = findings.found.filter(({ code }) => !ignored.has(code));
  const unreachable = found.some(({ code }) => code === "unreachable");
  const result = { backend: store.backend, ok: found.length === 0, findings: found, unchecked: findings.unchecked };
  await out.result(result, async () => {
    for (const mend of new Set(found.map((finding) => finding.mend))) {
      for (const { code, message } of found.filter((finding) => finding.mend === mend)) {
        await out.line(`${out.style(code === "unreachable" ? "red" : "yellow", code)}: ${message}`);
      }
      await out.line(`  ${mend}`);
    }
    for (const what of findings.unchecked) await out.line(`${out.style("dim", "not checked")}: ${what}`);
    const count2 = found.length === 0 ? out.style("green", "nothing found") : counted(found.length, "finding");
    await out.line(`${store.backend}: ${count2}`);
  });
  if (unreachable) return EXIT.unreachable;
  return found.length === 0 ? EXIT.done : EXIT.differs;
}
var doctors = [
  {
    name: "doctor",
    about: "find what bites later, each finding with its mend",
    more: "Missing tables, columns and indexes, missing rights, an old server, TTL that is off, eviction, a clock that is off, blocked keys, dead letters, stuck and late events, parked and late executions, a vacuum that is held back. It changes nothing. Ends with 3 if it finds something, so it can guard a deployment.",
    urls: 1,
    options: [
      { name: "ignore", value: "code", many: true, choices: Object.keys(CODES2), about: "findings of this code do not count" },
      { name: "stuck-after", value: "duration", kind: "duration", about: "when an event of a worker is stuck (default 10m)" },
      { name: "late-after", value: "duration", kind: "duration", about: "when what is due is late (default 10m)" },
      { name: "vacuum-after", value: "duration", kind: "duration", about: "when an open transaction holds the vacuum back (default 10m)" },
      { name: "write", about: "also store a payload and delete it again, to see whether that is allowed" }
    ],
    json: "value",
    examples: [
      { line: "doctor postgres://app@db/orders", does: "look at everything" },
      {
        line: "doctor --ignore dead-letters --ignore blocked-keys --quiet || exit 1",
        does: "a gate in a deployment; the URL is in SAGASTORE_URL"
      }
    ],
    run: doctor
  }
];

// ts/cli/pages.ts
async function* paged({ given, signal }, page) {
  let left = given.number("limit") ?? Number.POSITIVE_INFINITY;
  let cursor;
  do {
    const { items, cursor: next } = await page({ limit: Math.min(left, 500), ...cursor !== void 0 && { cursor } });
    yield* items;
    left -= items.length;
    cursor = next;
  } while (cursor !== void 0 && left > 0 && !signal.aborted);
}
var LIMIT = { name: "limit", value: "count", kind: "whole", about: "at most so many" };

// ts/cli/commands/executions.ts
var STATUSES = ["pending", "running", "compensating", "completed", "compensated", "failed"];
var COLUMNS = [
  { title: "SAGA ID", of: ({ sagaId }) => sagaId, shrinks: true },
  { title: "NAME", of: ({ name }) => name },
  { title: "STATUS", of: ({ status, parkedAt }) => parkedAt === null ? status : `${status}, parked` },
  { title: "ATTEMPTS", of: ({ attempts }) => attempts, right: true },
  { title: "WORKER", of: ({ workerId }) => workerId },
  { title: "CHANGED", of: ({ updatedAt }) => updatedAt.toISOString() },
  { title: "ERROR", of: ({ lastError }) => lastError, shrinks: true }
];
async function list(run) {
  const { given, out } = run;
  const [name, status, tag] = [given.text("name"), given.text("status"), given.text("tag")];
  const filter = {
    ...name !== void 0 && { name },
    ...status !== void 0 && { status },
    ...tag !== void 0 && { tag },
    ...given.flag("parked") && { parked: true }
  };
  const { executions: executions2 } = run.open();
  await out.list(
    paged(run, (page) => executions2.list({ ...filter, ...page })),
    COLUMNS
  );
}
async function parked(run) {
  const { executions: executions2 } = run.open();
  const count2 = await run.out.list(
    paged(run, (page) => executions2.parked(page)),
    COLUMNS
  );
  if (!run.out.isJson && count2 > 0) run.out.note("`sagastore executions redrive` brings them back.");
}
async function findExecution(store, id) {
  const execution = await store.executions.find(id);
  return execution === null ? void 0 : { execution, steps: await store.executions.steps(id) };
}
var STEPS = [
  { title: "STEP", of: ({ stepName, branch }) => branch === void 0 ? stepName : `${stepName} (${branch})` },
  { title: "STATUS", of: ({ status }) => status },
  { title: "ATTEMPTS", of: ({ attempts }) => attempts, right: true },
  { title: "STARTED", of: ({ startedAt }) => startedAt?.toISOString() },
  { title: "ENDED", of: ({ endedAt }) => endedAt?.toISOString() },
  { title: "UNDONE", of: ({ compensation }) => compensation?.status },
  { title: "ERROR", of: ({ error, compensation }) => errorOf(error ?? compensation?.error), shrinks: true }
];
function errorOf(error) {
  if (error === void 0) return void 0;
  const { message } = typeof error === "object" && error !== null ? error : {};
  return typeof message === "string" ? message : JSON.stringify(error);
}
async function showExecution({ execution, steps }, out) {
  const { sagaId, context, parkedAt, dueAt, ...others } = execution;
  const due = dueAt === null ? null : `${dueAt.toISOString()} (${shownDistance(dueAt)})`;
  await out.facts([["sagaId", sagaId], ...Object.entries(others), ["dueAt", due], ["parkedAt", parkedAt]], "  ");
  if (context !== null) await out.line(`  ${out.style("dim", "context")}  ${JSON.stringify(context)}`);
  if (steps.length > 0) await out.list(steps, STEPS);
}
async function show({ open: open2, out, given }) {
  const id = given.argument("id");
  const found = await findExecution(open2(), id);
  if (found === void 0) throw notFound(`no execution has the saga id '${id}'`);
  await out.result(found, () => showExecution(found, out));
}
async function redrive(run) {
  const { given, out, signal } = run;
  const ids = given.arguments("id");
  if (given.flag("all") === ids.length > 0) throw new WrongUse("give ids, or --all");
  const options = { resetAttempts: !given.flag("keep-attempts") };
  const { executions: executions2 } = run.open();
  let redriven = 0;
  if (ids.length > 0) redriven = await executions2.redrive(ids, options);
  while (ids.length === 0 && !signal.aborted) {
    const { items } = await executions2.parked({ limit: 100 });
    const count2 = items.length === 0 ? 0 : await executions2.redrive(items.map(({ sagaId }) => sagaId), options);
    if (count2 === 0) break;
    redriven += count2;
  }
  const missed = Math.max(0, ids.length - redriven);
  await out.result({ redriven, notParked: missed }, async () => {
    await out.line(`${redriven} brought back${missed > 0 ? `, ${missed} not parked, or not there` : ""}`);
  });
  return missed > 0 ? EXIT.differs : EXIT.done;
}
var executions = [
  {
    name: "executions list",
    about: "list executions, the latest change first",
    urls: 1,
    options: [
      { name: "name", value: "name", about: "only those of this name" },
      { name: "status", value: "status", choices: STATUSES, about: `only those of a status: ${STATUSES.join(", ")}` },
      { name: "tag", value: "tag", about: "only those with this tag" },
      { name: "parked", about: "only those that are parked" },
      LIMIT
    ],
    json: "lines",
    stops: true,
    examples: [{ line: "executions list postgres://app@db/orders --status failed --limit 20", does: "the last failures" }],
    run: list
  },
  {
    name: "executions show",
    about: "print an execution with its steps",
    urls: 1,
    takes: [{ name: "id", about: "its saga id" }],
    json: "value",
    examples: [{ line: "executions show sqlite:orders.db order-4711", does: "where it stands, and why" }],
    run: show
  },
  {
    name: "executions parked",
    about: "list executions that were set aside after too many attempts",
    urls: 1,
    options: [LIMIT],
    json: "lines",
    stops: true,
    examples: [{ line: "executions parked sqlite:orders.db", does: "what nobody works on any more" }],
    run: parked
  },
  {
    name: "executions redrive",
    about: "bring parked executions back: workers can claim them again",
    more: "Ends with 3 if one of the ids was not parked.",
    urls: 1,
    takes: [{ name: "id", about: "their saga ids", optional: true, many: true }],
    options: [
      { name: "all", about: "all that are parked" },
      { name: "keep-attempts", about: "their attempts go on counting; without it they begin at 0" }
    ],
    json: "value",
    stops: true,
    examples: [
      { line: "executions redrive sqlite:orders.db order-4711", does: "one of them" },
      { line: "executions redrive --all", does: "all of them; the URL is in SAGASTORE_URL" }
    ],
    run: redrive
  }
];

// ts/moving/records.ts
var RECORD_KINDS = ["payloads", "states", "executions", "outbox", "inbox"];
var ON_CONFLICT = ["skip-existing", "overwrite", "fail", "newer"];
var ON_ERROR = ["fail", "skip", "retry"];
var PAGE = { limit: 500, maxBytes: 8 * 1024 * 1024 };
var RECORDS = /* @__PURE__ */ Symbol.for("sagastore.records");
function recordsOf(store) {
  return store[RECORDS];
}

// ts/cli/records.ts
function recordsIn(store) {
  const records = recordsOf(store);
  if (records === void 0) throw new Told("cli.js and index.js are of different versions");
  return records;
}
async function* sizesOf(store, signal, onUnreadable) {
  for await (const { records, unreadable } of recordsIn(store).pagesOfSizes()) {
    for (const [key, why] of unreadable) onUnreadable(key, why);
    yield* records;
    if (signal.aborted) return;
  }
}
async function* scanOf(store, kind, signal) {
  for await (const { records } of recordsIn(store).pages(kind)) {
    yield* records;
    if (signal.aborted) return;
  }
}
async function payloadRecord(store, id) {
  const [record] = await recordsIn(store).fetch("payloads", [id]);
  return record ?? void 0;
}

// ts/cli/commands/outbox.ts
var STATUSES2 = ["pending", "claimed", "sent", "dead_letter"];
var EVENTS = [
  { title: "EVENT ID", of: ({ eventId }) => eventId, shrinks: true },
  { title: "TYPE", of: ({ eventType }) => eventType },
  { title: "STATUS", of: ({ status }) => status },
  { title: "KEY", of: ({ partitionKey }) => partitionKey },
  { title: "FAILED", of: ({ retryCount }) => retryCount, right: true },
  { title: "GIVEN", of: ({ deliveries }) => deliveries, right: true },
  { title: "STORED", of: ({ createdAt }) => createdAt.toISOString() },
  { title: "ERROR", of: ({ lastError }) => lastError, shrinks: true }
];
async function showEvent(event, out) {
  const { payload, headers, ...others } = event;
  await out.facts([...Object.entries(others), ["headers", headers], ["payload", payload]], "  ");
}
async function list2(run) {
  const status = run.given.text("status");
  const { outbox: outbox2 } = run.open();
  await run.out.list(
    paged(run, async (page) => {
      const { events, cursor } = await outbox2.list({ ...page, ...status !== void 0 && { status } });
      return { items: events, cursor };
    }),
    EVENTS
  );
}
async function dead(run) {
  const { outbox: outbox2 } = run.open();
  const count2 = await run.out.list(
    paged(run, async (page) => {
      const { events, cursor } = await outbox2.deadLetters(page);
      return { items: events, cursor };
    }),
    EVENTS
  );
  if (!run.out.isJson && count2 > 0) run.out.note("`sagastore outbox requeue` and `sagastore outbox discard` decide about them.");
}
function filterOf({ given }) {
  const filter = {};
  const names = { type: "eventType", "routing-key": "routingKey", "partition-key": "partitionKey", saga: "sagaId" };
  for (const [option, name] of Object.entries(names)) {
    const value = given.text(option);
    if (value !== void 0) filter[name] = value;
  }
  const olderThanMs = given.number("older-than");
  if (olderThanMs !== void 0) filter.olderThanMs = olderThanMs;
  return filter;
}
async function requeue(run) {
  const { given, out } = run;
  const ids = given.arguments("id");
  const filter = filterOf(run);
  const ways = [ids.length > 0, given.flag("all"), Object.keys(filter).length > 0].filter(Boolean).length;
  if (ways !== 1) throw new WrongUse("give ids, or --all, or which ones (--type, --partition-key and so on)");
  const requeued = await run.open().outbox.requeue(ids.length > 0 ? ids : filter);
  const missed = Math.max(0, ids.length - requeued);
  await out.result({ requeued, notDead: missed }, async () => {
    await out.line(`${counted(requeued, "event")} requeued${missed > 0 ? `, ${missed} no dead letter, or not there` : ""}`);
  });
  return missed > 0 ? EXIT.differs : EXIT.done;
}
async function discard({ open: open2, out, given, ask: ask2 }) {
  const ids = given.arguments("id");
  const { outbox: outbox2 } = open2();
  await ask2(ids.length === 1 ? `Discard the dead letter '${ids[0]}'?` : `Discard ${ids.length} dead letters?`);
  const discarded = await outbox2.discard(ids);
  const missed = Math.max(0, ids.length - discarded);
  await out.result({ discarded, notDead: missed }, async () => {
    await out.line(`${counted(discarded, "event")} discarded${missed > 0 ? `, ${missed} no dead letter, or not there` : ""}`);
  });
  return missed > 0 ? EXIT.differs : EXIT.done;
}
async function stuck(run) {
  const { given, out } = run;
  const olderThanMs = given.number("older-than") ?? 6e5;
  const { outbox: outbox2 } = run.open();
  if (given.flag("release")) {
    const released = await outbox2.releaseStuck({ olderThanMs });
    await out.result({ released }, () => out.line(`${counted(released, "event")} released`));
    return;
  }
  const found = await outbox2.findStuck({ olderThanMs, limit: Math.min(given.number("limit") ?? 1e3, 1e3) });
  await out.list(found, [
    { title: "EVENT ID", of: ({ eventId }) => eventId, shrinks: true },
    { title: "TYPE", of: ({ eventType }) => eventType },
    { title: "WORKER", of: ({ workerId }) => workerId },
    { title: "CLAIMED", of: ({ claimedAt }) => claimedAt?.toISOString() },
    { title: "", of: ({ claimedAt }) => claimedAt && shownDistance(claimedAt) },
    { title: "GIVEN", of: ({ deliveries }) => deliveries, right: true }
  ]);
}
var IDS = { name: "id", about: "the ids of the events" };
var outbox = [
  {
    name: "outbox list",
    about: "list events, the earliest first",
    urls: 1,
    options: [{ name: "status", value: "status", choices: STATUSES2, about: `only those of a status: ${STATUSES2.join(", ")}` }, LIMIT],
    json: "lines",
    stops: true,
    examples: [{ line: "outbox list postgres://app@db/orders --status pending --limit 20", does: "what is published next" }],
    run: list2
  },
  {
    name: "outbox dead",
    about: "list dead letters",
    more: "Events that have failed too often. Each one may hold up the others of its key.",
    urls: 1,
    options: [LIMIT],
    json: "lines",
    stops: true,
    examples: [{ line: "outbox dead sqlite:orders.db", does: "which ones, and why" }],
    run: dead
  },
  {
    name: "outbox requeue",
    about: "have dead letters published again",
    more: "Ends with 3 if one of the ids was no dead letter.",
    urls: 1,
    takes: [{ ...IDS, optional: true, many: true }],
    options: [
      { name: "all", about: "all dead letters" },
      { name: "type", value: "type", about: "those of an event type" },
      { name: "routing-key", value: "key", about: "those of a routing key" },
      { name: "partition-key", value: "key", about: "those of a partition key" },
      { name: "saga", value: "id", about: "those of a saga" },
      { name: "older-than", value: "duration", kind: "duration", about: "those that were stored so long ago" }
    ],
    json: "value",
    examples: [
      { line: "outbox requeue sqlite:orders.db 0199f0c2-7d1b-7c3e-9a52-5b0e6a1f4c11", does: "one of them" },
      { line: "outbox requeue --partition-key order-4711", does: "those of a key, in their order; the URL is in SAGASTORE_URL" }
    ],
    run: requeue
  },
  {
    name: "outbox discard",
    about: "remove dead letters: they are never published",
    more: "Ends with 3 if one of the ids was no dead letter.",
    urls: 1,
    takes: [{ ...IDS, many: true }],
    json: "value",
    asks: true,
    examples: [{ line: "outbox discard sqlite:orders.db 0199f0c2-7d1b-7c3e-9a52-5b0e6a1f4c11 --yes", does: "without a question" }],
    run: discard
  },
  {
    name: "outbox stuck",
    about: "list events that a worker has had for long",
    urls: 1,
    options: [
      { name: "older-than", value: "duration", kind: "duration", about: "for so long (default 10m)" },
      { name: "release", about: "hand them back: other workers can claim them" },
      LIMIT
    ],
    json: "lines",
    examples: [
      { line: "outbox stuck sqlite:orders.db --older-than 1h", does: "who has them" },
      { line: "outbox stuck sqlite:orders.db --older-than 1h --release", does: "once the worker is known to be dead" }
    ],
    run: stuck
  }
];

// ts/cli/commands/states.ts
var NAME = { name: "name", about: "the saga's name" };
var COMPLETED = [
  { name: "completed", about: "only those that have ended" },
  { name: "active", about: "only those that have not ended" }
];
var COLUMNS2 = [
  { title: "SAGA ID", of: ({ metadata }) => metadata.sagaId, shrinks: true },
  { title: "VERSION", of: ({ metadata }) => metadata.version, right: true },
  { title: "ENDED", of: ({ metadata }) => metadata.isCompleted ? "yes" : "no" },
  { title: "CHANGED", of: ({ metadata }) => metadata.updatedAt.toISOString() },
  { title: "TIMEOUT", of: ({ metadata }) => metadata.timeoutExpiresAt?.toISOString() }
];
async function get({ open: open2, out, given }) {
  const [name, id] = [given.argument("name"), given.argument("id")];
  const { states: states2 } = open2();
  const found = given.flag("correlation") ? await states2.getByCorrelationId(name, id) : await states2.getById(name, id);
  if (found === null) throw notFound(`no saga '${name}' has the ${given.flag("correlation") ? "correlation" : "saga"} id '${id}'`);
  await out.result(found, () => showSaga(found, out));
}
async function showSaga(saga, out, indent = "") {
  const { metadata, ...state } = saga;
  await out.facts(Object.entries(metadata), indent);
  for (const line of JSON.stringify(state, null, 2).split("\n")) await out.line(`${indent}${line}`);
}
function completedOf({ given }) {
  const [completed, active] = [given.flag("completed"), given.flag("active")];
  if (completed && active) throw new WrongUse("give --completed or --active, not both");
  return completed || active ? { completed } : {};
}
async function list3(run) {
  const { out, given } = run;
  const filter = completedOf(run);
  const { states: states2 } = run.open();
  let unreadable = 0;
  const onCorrupt = ({ sagaId, error }) => {
    unreadable += 1;
    out.warn(`saga '${sagaId}' cannot be read: ${error.message}`);
  };
  await out.list(
    paged(run, (page) => states2.findByName(given.argument("name"), { ...filter, ...page, onCorrupt })),
    COLUMNS2
  );
  return unreadable > 0 ? EXIT.differs : EXIT.done;
}
async function count(run) {
  const name = run.given.argument("name");
  const found = await run.open().states.countByName(name, completedOf(run));
  await run.out.result({ sagaName: name, count: found }, () => run.out.line(String(found)));
}
async function timedOut({ open: open2, out, given }) {
  const sagaName = given.text("name");
  let unreadable = 0;
  const found = await open2().states.findTimedOut({
    limit: Math.min(given.number("limit") ?? 1e3, 1e3),
    ...sagaName !== void 0 && { sagaName },
    onCorrupt: ({ sagaName: name, sagaId, error }) => {
      unreadable += 1;
      out.warn(`saga '${name}' '${sagaId}' cannot be read: ${error.message}`);
    }
  });
  const since = ({ state }) => state.metadata.timeoutExpiresAt;
  await out.list(found, [
    { title: "NAME", of: (saga) => saga.sagaName },
    { title: "SAGA ID", of: ({ state }) => state.metadata.sagaId, shrinks: true },
    { title: "VERSION", of: ({ state }) => state.metadata.version, right: true },
    { title: "TIMED OUT", of: (saga) => since(saga)?.toISOString() },
    { title: "", of: (saga) => since(saga) && shownDistance(since(saga)) }
  ]);
  return unreadable > 0 ? EXIT.differs : EXIT.done;
}
async function remove({ open: open2, out, given, ask: ask2 }) {
  const [name, id] = [given.argument("name"), given.argument("id")];
  const { states: states2 } = open2();
  if (await states2.getById(name, id) === null) throw notFound(`no saga '${name}' has the saga id '${id}'`);
  await ask2(`Delete the saga '${name}' '${id}'?`);
  await states2.delete(name, id);
  await out.result({ sagaName: name, sagaId: id, deleted: true }, () => out.line(`deleted '${id}'`));
}
async function reindex({ open: open2, out, given }) {
  const sagaName = given.text("name");
  const result = await open2().states.reindex(sagaName === void 0 ? {} : { sagaName });
  await out.result(result, () => out.facts(Object.entries(result)));
}
var states = [
  {
    name: "states get",
    about: "print a saga's state",
    urls: 1,
    takes: [NAME, { name: "id", about: "its saga id" }],
    options: [{ name: "correlation", about: "the id is the correlation id, such as that of the order" }],
    json: "value",
    examples: [
      { line: "states get postgres://app@db/orders OrderSaga saga-1", does: "by its saga id" },
      { line: "states get --correlation OrderSaga order-4711 --json | jq .status", does: "by its correlation id" }
    ],
    run: get
  },
  {
    name: "states list",
    about: "list the sagas of a name",
    urls: 1,
    takes: [NAME],
    options: [...COMPLETED, LIMIT],
    json: "lines",
    stops: true,
    examples: [{ line: "states list sqlite:orders.db OrderSaga --active", does: "those that have not ended" }],
    run: list3
  },
  {
    name: "states count",
    about: "count the sagas of a name",
    urls: 1,
    takes: [NAME],
    options: COMPLETED,
    json: "value",
    examples: [{ line: "states count sqlite:orders.db OrderSaga --active", does: "how many have not ended" }],
    run: count
  },
  {
    name: "states timed-out",
    about: "list sagas whose timeout has passed",
    more: "The longest overdue come first, at most 1,000. They stay as they are: a worker takes them with `claimTimedOut`.",
    urls: 1,
    options: [{ name: "name", value: "name", about: "only sagas of this name" }, LIMIT],
    json: "lines",
    examples: [{ line: "states timed-out postgres://app@db/orders --name OrderSaga", does: "what should have gone on long ago" }],
    run: timedOut
  },
  {
    name: "states delete",
    about: "delete a saga's state",
    urls: 1,
    takes: [NAME, { name: "id", about: "its saga id" }],
    json: "value",
    asks: true,
    examples: [{ line: "states delete sqlite:orders.db OrderSaga saga-1 --yes", does: "without a question" }],
    run: remove
  },
  {
    name: "states reindex",
    about: "have sagas listed that other software has written (Redis)",
    more: "It reads all keys in small steps. On other backends there is nothing to do.",
    urls: 1,
    options: [{ name: "name", value: "name", about: "only sagas of this name" }],
    json: "value",
    examples: [{ line: "states reindex redis://cache:6379", does: "once the last old worker has ended" }],
    run: reindex
  }
];

// ts/cli/commands/inspect.ts
var EVENTS_SHOWN = 20;
async function* search(store, id, run) {
  const payload = await orNothing(() => payloadRecord(store, id));
  if (payload) {
    const { data, expiresAt } = payload;
    const isExpired = expiresAt !== void 0 && expiresAt.getTime() <= Date.now();
    yield { found: "payload", id, bytes: data.length, ...expiresAt && { expiresAt }, isExpired };
  }
  const execution = await orNothing(() => findExecution(store, id));
  if (execution) yield { found: "execution", ...execution };
  const name = run.given.text("name") ?? execution?.execution.name;
  const sagas = await byName(store, name, id);
  yield* sagas;
  const event = await orNothing(() => store.outbox.get(id));
  if (event) yield { found: "event", event };
  const page = await orNothing(() => store.outbox.bySaga(id, { limit: EVENTS_SHOWN }));
  if (page && page.events.length > 0) yield { found: "events of the saga", events: page.events, more: page.cursor !== void 0 };
  if (!run.given.flag("quick")) yield* bySearch(store, id, run, sagas.length > 0 || run.given.text("name") !== void 0);
}
async function byName(store, sagaName, id) {
  if (sagaName === void 0) return [];
  const found = [];
  const bySagaId = await orNothing(() => store.states.getById(sagaName, id));
  if (bySagaId) found.push({ found: "saga", by: "saga id", sagaName, state: bySagaId });
  const byCorrelation = await orNothing(() => store.states.getByCorrelationId(sagaName, id));
  if (byCorrelation && byCorrelation.metadata.sagaId !== bySagaId?.metadata.sagaId) {
    found.push({ found: "saga", by: "correlation id", sagaName, correlationId: id, state: byCorrelation });
  }
  return found;
}
async function* bySearch(store, id, { signal, out }, hasSagas) {
  const slow = setTimeout(() => out.note("Reading all sagas and messages; --name or --quick is quicker."), 2e3);
  try {
    if (!hasSagas) {
      for await (const record of scanOf(store, "states", signal)) {
        const { sagaName, sagaId, correlationId } = record;
        if (sagaId !== id && correlationId !== id) continue;
        const state = await store.states.getById(sagaName, sagaId);
        if (state !== null) yield { found: "saga", by: sagaId === id ? "saga id" : "correlation id", sagaName, correlationId, state };
      }
    }
    for await (const { consumer, messageId, expiresAt } of scanOf(store, "inbox", signal)) {
      if (messageId === id) yield { found: "message", consumer, messageId, expiresAt };
    }
  } finally {
    clearTimeout(slow);
  }
}
async function orNothing(look) {
  try {
    return await look();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : void 0;
    if (code === "INVALID_ARGUMENT" || code === "UNSUPPORTED") return void 0;
    throw error;
  }
}
async function show2(found, out) {
  const title = (text) => out.line(out.style("bold", text));
  switch (found.found) {
    case "payload": {
      const { id, bytes, expiresAt, isExpired } = found;
      await title(isExpired ? "payload (expired: it is not returned any more)" : "payload");
      const expiry = expiresAt && `${expiresAt.toISOString()} (${shownDistance(expiresAt)})`;
      await out.facts([["id", id], ["stored", shownBytes(bytes)], ["expires", expiry ?? "never"]], "  ");
      return;
    }
    case "saga":
      await title(`saga '${found.sagaName}', found by its ${found.by}`);
      await out.facts([["correlationId", found.correlationId]], "  ");
      return await showSaga(found.state, out, "  ");
    case "execution":
      await title(found.execution.parkedAt === null ? "execution" : "execution (parked: nobody works on it)");
      return await showExecution(found, out);
    case "event":
      await title(found.event.status === "dead_letter" ? "event (dead letter: nobody publishes it)" : "event");
      return await showEvent(found.event, out);
    case "events of the saga":
      await title(`events of the saga${found.more ? ` (the first ${found.events.length})` : ""}`);
      await out.list(found.events, EVENTS);
      return;
    case "message":
      await title("message of the inbox: it was applied");
      await out.facts([["consumer", found.consumer], ["messageId", found.messageId], ["remembered until", found.expiresAt]], "  ");
  }
}
async function inspect2(run) {
  const { out, given } = run;
  const id = given.argument("id");
  let count2 = 0;
  for await (const found of search(run.open(), id, run)) {
    if (out.isJson) await out.json(found);
    else {
      if (count2 > 0) await out.line();
      await show2(found, out);
    }
    count2 += 1;
  }
  if (count2 === 0) throw notFound(`nothing has the id '${id}': no payload, saga, execution, event or message`);
}
var inspecting = [
  {
    name: "inspect",
    about: "say all that is known of an id",
    more: "It looks for a payload, a saga (by saga id or correlation id), an execution with its steps, an event, the events of a saga, and a message of the inbox. Sagas whose name it does not know it finds by reading all of them.",
    urls: 1,
    takes: [{ name: "id", about: "any id" }],
    options: [
      { name: "name", value: "name", about: "the name of the saga: then no reading of all is needed" },
      { name: "quick", about: "only what an index leads to: no reading of all sagas and messages" }
    ],
    json: "lines",
    stops: true,
    examples: [
      { line: "inspect postgres://app@db/orders order-4711", does: "what became of an order" },
      { line: "inspect --name OrderSaga order-4711 --json", does: "for a program; the URL is in SAGASTORE_URL" }
    ],
    run: inspect2
  }
];

// ts/cli/checkpoint-file.ts
var import_node_fs2 = require("node:fs");
var EVERY_MS = 1e3;
var CheckpointFile = class {
  #path;
  #written = 0;
  constructor(path) {
    this.#path = path;
  }
  /** What is there from before. */
  read() {
    if (!(0, import_node_fs2.existsSync)(this.#path)) return void 0;
    return (0, import_node_fs2.readFileSync)(this.#path, "utf8").trim();
  }
  /** Written from time to time: what was moved behind it is moved again, which changes nothing. */
  note(checkpoint) {
    if (Date.now() - this.#written < EVERY_MS) return;
    this.keep(checkpoint);
  }
  keep(checkpoint) {
    this.#written = Date.now();
    (0, import_node_fs2.writeFileSync)(`${this.#path}.partial`, `${checkpoint}
`);
    (0, import_node_fs2.renameSync)(`${this.#path}.partial`, this.#path);
  }
  /** The move is at its end. */
  remove() {
    (0, import_node_fs2.rmSync)(this.#path, { force: true });
  }
};

// ts/cli/progress.ts
var import_cli_progress = __toESM(require_cli_progress());
var LINE_EVERY_MS = 5e3;
var ProgressBar = class {
  #out;
  #isQuiet;
  #bar;
  #last = Date.now();
  #what;
  constructor(out) {
    this.#out = out;
    this.#isQuiet = out.isQuiet;
  }
  show(progress) {
    if (this.#isQuiet) return;
    if (process.stderr.isTTY) this.#draw(progress);
    else if (Date.now() - this.#last >= LINE_EVERY_MS) {
      this.#last = Date.now();
      this.#out.note(lineOf(progress));
    }
  }
  /** Leaves the terminal as it was: what comes next stands on a line of its own. */
  end() {
    this.#bar?.stop();
    this.#bar = void 0;
  }
  #draw(progress) {
    if (this.#what !== progress.what) {
      this.end();
      this.#what = progress.what;
    }
    this.#bar ??= this.#begin(progress);
    const total = Math.max(progress.total ?? progress.done, progress.done, 1);
    this.#bar.setTotal(total);
    this.#bar.update(progress.done, { text: lineOf(progress) });
  }
  #begin({ what }) {
    const bar = new import_cli_progress.SingleBar(
      {
        stream: process.stderr,
        hideCursor: false,
        clearOnComplete: false,
        linewrap: false,
        fps: 8,
        barsize: 20,
        // Counted by the format below: a narrow terminal has no room for a bar.
        format: (options, params, payload) => {
          const columns = process.stderr.columns ?? 80;
          const size = Math.min(24, columns - payload.text.length - 10);
          const done = Math.round(params.progress * size);
          const bar2 = size < 5 ? "" : `${(options.barCompleteString ?? "").slice(0, done)}${(options.barIncompleteString ?? "").slice(0, size - done)} `;
          const percent = `${Math.floor(params.progress * 100)}%`.padStart(4);
          return `${bar2}${percent} ${payload.text}`.slice(0, columns - 1);
        }
      },
      import_cli_progress.Presets.shades_classic
    );
    bar.start(1, 0, { text: what });
    return bar;
  }
};
function lineOf({ what, done, total, approximate, bytes, failed, perSecond, etaMs }) {
  const parts = [
    `${what} ${done.toLocaleString("en-US")}${total === null ? "" : ` of ${approximate ? "about " : ""}${total.toLocaleString("en-US")}`}`
  ];
  if (bytes !== void 0) parts.push(shownBytes(bytes));
  if (failed !== void 0 && failed > 0) parts.push(`${counted(failed, "failure")}`);
  if (perSecond !== void 0) parts.push(`${Math.round(perSecond).toLocaleString("en-US")}/s`);
  if (etaMs !== void 0 && etaMs !== null && etaMs > 0) parts.push(`${shownDuration(etaMs)} left`);
  return parts.join(", ");
}

// ts/cli/rejects-file.ts
var import_promises2 = require("node:fs/promises");
var RejectsFile = class {
  #path;
  #isResumed;
  #file;
  constructor(path, isResumed) {
    this.#path = path;
    this.#isResumed = isResumed;
  }
  async add(rejected) {
    if (this.#path === void 0) return;
    this.#file ??= (0, import_promises2.open)(this.#path, this.#isResumed ? "a" : "w");
    await (await this.#file).appendFile(`${JSON.stringify(rejected)}
`);
  }
  async close() {
    await (await this.#file)?.close();
  }
};

// ts/cli/commands/payloads.ts
var import_node_events = require("node:events");
var import_node_fs3 = require("node:fs");
var import_promises3 = require("node:fs/promises");
async function get2({ open: open2, out, given }) {
  const id = given.argument("id");
  const store = open2();
  const data = await store.get(id);
  if (out.isJson) {
    const { expiresAt } = await payloadRecord(store, id) ?? {};
    await out.json({ id, bytes: data.length, ...expiresAt && { expiresAt }, data });
    return;
  }
  const path = given.text("out");
  if (path !== void 0) {
    await save(path, data);
    out.note(`${shownBytes(data.length)} in ${path}`);
    return;
  }
  if (process.stdout.isTTY && data.includes(0))
    throw new WrongUse(`the payload is no text (${shownBytes(data.length)}): write it to a file with --out`);
  await out.write(data);
}
async function save(path, data) {
  const partial = `${path}.partial`;
  const file = await (0, import_promises3.open)(partial, "w");
  try {
    await file.writeFile(data);
    await file.sync();
    await file.close();
    await (0, import_promises3.rename)(partial, path);
  } catch (error) {
    await file.close().catch(() => void 0);
    await (0, import_promises3.rm)(partial, { force: true });
    throw error;
  }
}
async function put({ open: open2, out, given, ask: ask2 }) {
  const id = given.argument("id");
  const [after, at] = [given.number("expires-in"), given.date("expires-at")];
  if (after !== void 0 && at !== void 0) throw new WrongUse("give --expires-in or --expires-at, not both");
  const expiresAt = after === void 0 ? at : new Date(Date.now() + after);
  const path = given.text("file");
  const store = open2();
  if (await store.has(id)) await ask2(`There is a payload '${id}' already. Replace it?`);
  const data = path === void 0 ? await readStdin(out.note.bind(out)) : (0, import_node_fs3.readFileSync)(path);
  await store.put(id, data, expiresAt);
  const stored = { id, bytes: data.length, ...expiresAt && { expiresAt } };
  const end = expiresAt === void 0 ? "until it is deleted" : `until ${expiresAt.toISOString()}`;
  await out.result(stored, () => out.line(`stored '${id}': ${shownBytes(data.length)}, ${end}`));
}
async function readStdin(note) {
  if (process.stdin.isTTY) note("Reading from the terminal; Ctrl-D ends.");
  const parts = [];
  process.stdin.on("data", (part) => parts.push(part));
  await (0, import_node_events.once)(process.stdin, "end");
  return Buffer.concat(parts);
}
var SIZES2 = [
  { title: "ID", of: ({ id }) => id, shrinks: true },
  { title: "BYTES", of: ({ bytes }) => bytes.toLocaleString("en-US"), right: true },
  { title: "EXPIRES", of: ({ expiresAt }) => expiresAt?.toISOString() },
  { title: "", of: ({ expiresAt }) => expiresAt === void 0 ? "" : shownDistance(expiresAt) }
];
async function list4({ open: open2, out, given, signal }) {
  const prefix = given.text("prefix") ?? "";
  const isExpired = ({ expiresAt }) => expiresAt !== void 0 && expiresAt.getTime() <= Date.now();
  const wanted = ({ id }) => id.startsWith(prefix);
  const most = given.number("limit") ?? Number.POSITIVE_INFINITY;
  const sizes = sizesOf(open2(), signal, (key, why) => out.warn(`${key} cannot be read: ${why}`));
  async function* matching() {
    let count3 = 0;
    for await (const size of sizes) {
      if (!wanted(size) || isExpired(size) !== given.flag("expired")) continue;
      yield size;
      count3 += 1;
      if (count3 >= most) return;
    }
  }
  const count2 = await out.list(matching(), SIZES2);
  if (!out.isJson) out.note(counted(count2, "payload"));
}
async function remove2({ open: open2, out, given, ask: ask2 }) {
  const ids = given.arguments("id");
  const store = open2();
  await ask2(ids.length === 1 ? `Delete the payload '${ids[0]}'?` : `Delete ${ids.length} payloads?`);
  const deleted = await deleteEach(store, ids);
  const columns = [
    { title: "ID", of: ({ id }) => id, shrinks: true },
    { title: "DELETED", of: ({ deleted: deleted2 }) => deleted2 ? "yes" : "was not there" }
  ];
  await out.list(deleted, columns);
  return deleted.every((one) => one.deleted) ? EXIT.done : EXIT.differs;
}
async function deleteEach(store, ids) {
  const deleted = [];
  for (const id of ids) deleted.push({ id, deleted: await store.delete(id) });
  return deleted;
}
async function checkFile(path, { ask: ask2 }) {
  if ((0, import_node_fs3.existsSync)(path)) await ask2(`There is a file ${path} already. Replace it?`);
}
var ID = { name: "id", about: "the claim id" };
var payloads = [
  {
    name: "get",
    about: "print a payload",
    more: "Its bytes go to stdout as they were put. With --json they are base64.",
    urls: 1,
    takes: [ID],
    options: [{ name: "out", value: "file", about: "write it to a file" }],
    json: "value",
    asks: true,
    examples: [
      { line: "get redis://cache:6379 slip-4711-1 | jq .", does: "look at a routing slip" },
      { line: "get sqlite:orders.db slip-4711-1 --out slip.json", does: "into a file" }
    ],
    async run(run) {
      const path = run.given.text("out");
      if (path !== void 0 && run.out.isJson) throw new WrongUse("give --out or --json, not both");
      if (path !== void 0) await checkFile(path, run);
      await get2(run);
    }
  },
  {
    name: "put",
    about: "store a payload",
    more: "Its bytes come from stdin, or from a file. Without an expiry it is kept until it is deleted. It asks before it replaces one.",
    urls: 1,
    takes: [ID],
    options: [
      { name: "file", value: "file", about: "read it from a file" },
      { name: "expires-in", value: "duration", kind: "duration", about: "how long it is kept, such as 2h or 7d" },
      { name: "expires-at", value: "time", kind: "date", about: "until when it is kept, such as 2026-12-31T23:00:00Z" }
    ],
    json: "value",
    asks: true,
    examples: [
      { line: "put redis://cache:6379 slip-4711-1 --expires-in 24h < slip.json", does: "from a file, for a day" },
      { line: "put sqlite:orders.db slip-4711-1 --file slip.json --yes", does: "replace what is there, if anything is" }
    ],
    run: put
  },
  {
    name: "list",
    about: "list the ids of payloads with sizes and expiry",
    more: "In the order of the backend. Sizes are those that are stored: of a compressed payload so many bytes as it has compressed.",
    urls: 1,
    options: [
      { name: "prefix", value: "text", about: "only ids that begin so" },
      { name: "limit", value: "count", kind: "whole", about: "at most so many" },
      { name: "expired", about: "those that have expired and are not removed yet, instead of the others" }
    ],
    json: "lines",
    stops: true,
    examples: [
      { line: "list sqlite:orders.db --prefix slip-4711-", does: "the payloads of one order" },
      { line: "list --json | jq -r 'select(.bytes > 1000000) | .id'", does: "the large ones; the URL is in SAGASTORE_URL" }
    ],
    run: list4
  },
  {
    name: "delete",
    about: "delete payloads",
    more: "Ends with 3 if one of them was not there.",
    urls: 1,
    takes: [{ ...ID, many: true }],
    json: "lines",
    asks: true,
    examples: [{ line: "delete sqlite:orders.db slip-4711-1 slip-4711-2 --yes", does: "two of them, without a question" }],
    run: remove2
  }
];

// ts/cli/commands/moving.ts
var KIND = {
  name: "kind",
  value: "kind",
  many: true,
  choices: RECORD_KINDS,
  about: `only this kind of records: ${RECORD_KINDS.join(", ")}; may be given several times`
};
var READING = [
  KIND,
  {
    name: "on-error",
    value: "what",
    choices: ON_ERROR,
    about: "a record that cannot be moved: fail (default) ends the move, skip counts it as failed and goes on, retry tries again for a while"
  },
  { name: "rejects", value: "file", about: "write ids and reasons of what could not be moved into a file, one a line" },
  { name: "batch-size", value: "count", kind: "whole", about: "records that are moved together (default 500)" },
  { name: "records-per-second", value: "count", kind: "whole", about: "at most so many records a second" },
  { name: "bytes-per-second", value: "size", kind: "bytes", about: "at most so many bytes a second, such as 10M" }
];
var WRITING = [
  {
    name: "on-conflict",
    value: "what",
    choices: ON_CONFLICT,
    about: "an id that the target has: skip-existing (default), overwrite, fail, or newer: replaced if the record is newer"
  },
  { name: "concurrency", value: "count", kind: "whole", about: "batches that are written at once (default 4)" },
  { name: "dry-run", about: "write nothing, and tell what the target could not take" }
];
function termsOf({ given, signal }, rejects) {
  const kinds = given.texts("kind");
  const onError = given.text("on-error");
  const numbers = { "batch-size": "batchSize", "records-per-second": "recordsPerSecond", "bytes-per-second": "bytesPerSecond" };
  const terms = {
    signal,
    onRejected: (rejected) => rejects.add(rejected)
  };
  if (kinds.length > 0) terms.kinds = kinds;
  if (onError !== void 0) terms.onError = onError;
  for (const [option, name] of Object.entries(numbers)) {
    const value = given.number(option);
    if (value !== void 0) terms[name] = value;
  }
  return terms;
}
function writingOf({ given }) {
  const onConflict = given.text("on-conflict");
  const concurrency = given.number("concurrency");
  return {
    ...onConflict !== void 0 && { onConflict },
    ...concurrency !== void 0 && { concurrency },
    ...given.flag("dry-run") && { dryRun: true }
  };
}
async function askToReplace({ given, ask: ask2 }) {
  const conflict = given.text("on-conflict");
  if ((conflict === "overwrite" || conflict === "newer") && !given.flag("dry-run")) {
    await ask2(`Replace records of the target${conflict === "newer" ? " that are older" : ""}?`);
  }
}
async function follow(run, move, rejects, checkpoint) {
  const { out } = run;
  const bar = new ProgressBar(out);
  try {
    for await (const {
      kind,
      total,
      approximate,
      transferred,
      failed,
      skipped,
      expired,
      bytes,
      recordsPerSecond,
      etaMs,
      checkpoint: place
    } of move) {
      bar.show({
        what: kind,
        done: transferred + failed + skipped + expired,
        total,
        approximate,
        bytes,
        failed,
        perSecond: recordsPerSecond,
        etaMs
      });
      checkpoint?.note(place);
    }
    const result = await move;
    bar.end();
    checkpoint?.remove();
    await out.result({ ok: true, ...result }, () => showResult(run, result));
    return EXIT.done;
  } catch (error) {
    bar.end();
    if (isClosedPipe(error)) throw new NobodyReads();
    if (!(error instanceof library().TransferError)) throw error;
    return await tellFailure(run, error, checkpoint);
  } finally {
    await rejects.close();
  }
}
function isClosedPipe(error) {
  if (!(error instanceof Error)) return false;
  return "code" in error && error.code === "EPIPE" || isClosedPipe(error.cause);
}
async function showResult({ out }, result) {
  const { transferred, skipped, expired, bytes, elapsedMs, dryRun, verification } = result;
  const parts = [`${counted(transferred, "record")} ${dryRun ? "could be moved" : "moved"} (${shownBytes(bytes)})`];
  if (skipped > 0) parts.push(`${skipped.toLocaleString("en-US")} left alone`);
  if (expired > 0) parts.push(`${expired.toLocaleString("en-US")} expired`);
  await out.line(`${parts.join(", ")} in ${shownDuration(elapsedMs)}`);
  if (verification !== void 0) await out.line(`verified: ${counted(verification.same, "record is", "records are")} the same`);
}
async function tellFailure(run, error, checkpoint) {
  const { out, given, signal } = run;
  const { counts, rejected, verification } = error;
  const sum = { transferred: 0, failed: 0, skipped: 0, expired: 0, bytes: 0 };
  for (const one of Object.values(counts)) for (const name of Object.keys(sum)) sum[name] += one[name];
  const isWhole = error.cause === void 0 && !signal.aborted;
  const isAtEnd = isWhole && (verification !== void 0 || sum.failed > 0 && (given.text("on-error") === "skip" || given.flag("dry-run")));
  if (isAtEnd) checkpoint?.remove();
  else if (error.checkpoint !== void 0) checkpoint?.keep(error.checkpoint);
  const { checkpoint: place } = error;
  const told = { ok: false, ...sum, counts, rejected, error: error.message, ...place !== void 0 && { checkpoint: place }, ...verification && { verification } };
  if (out.isJson) await out.json(told);
  run.tell(signal.aborted ? "stopped:" : "error:", error);
  for (const { kind, id, code, message } of given.text("rejects") === void 0 ? rejected.slice(0, 10) : []) {
    out.note(`  ${kind} '${id}': ${message} (${code})`);
  }
  if (!isAtEnd) tellHowToGoOn(run, place, checkpoint);
  if (isAtEnd) return EXIT.differs;
  const cause = exitOf(error.cause);
  return cause === EXIT.unreachable ? cause : EXIT.failed;
}
function tellHowToGoOn({ command }, place, checkpoint) {
  if (command.name !== "transfer") {
    process.stderr.write(`To go on, run it again${command.name === "import" ? ": what is there already is left alone" : ""}.
`);
  } else if (checkpoint !== void 0) process.stderr.write("To go on, run the same command again.\n");
  else if (place !== void 0) process.stderr.write(`To go on, save the next line into a file, and add --resume <file>.
${place}
`);
}
async function transfer(run) {
  const { given, out } = run;
  const path = given.text("resume");
  const [source, target] = [run.open(), run.openTarget()];
  await askToReplace(run);
  const checkpoint = path === void 0 ? void 0 : new CheckpointFile(path);
  const resumeFrom = checkpoint?.read();
  const rejects = new RejectsFile(given.text("rejects"), resumeFrom !== void 0);
  const options = {
    ...termsOf(run, rejects),
    ...writingOf(run),
    ...given.flag("verify") && { verify: true },
    ...resumeFrom !== void 0 && { resumeFrom }
  };
  const move = library().transfer(source, target, options);
  const { compatible, issues } = await move.validate();
  const uninitialized = /* @__PURE__ */ new Set();
  for (const { level, kind, message } of issues) {
    if (wantsInit(message)) {
      uninitialized.add(message.startsWith("the source") ? "source" : "target");
      continue;
    }
    const text = `${kind === void 0 ? "" : `${kind}: `}${message}`;
    if (level === "warning") out.warn(text);
    else process.stderr.write(`${out.styleOf(process.stderr, "red", "error:")} ${text}
`);
  }
  for (const side of uninitialized) {
    const text = `tables of the ${side} are missing: run \`${run.initCommand(side)}\``;
    process.stderr.write(`${out.styleOf(process.stderr, "red", "error:")} ${text}
`);
  }
  if (!compatible) {
    await rejects.close();
    throw new Told("nothing was moved");
  }
  return await follow(run, move, rejects, checkpoint);
}
var DIFFERENCES = [
  { title: "KIND", of: ({ kind }) => kind },
  { title: "ID", of: ({ id, name }) => name === void 0 ? id : `${name} ${id}`, shrinks: true },
  { title: "WHAT", of: ({ what }) => what }
];
async function verify(run) {
  const { given, out, signal } = run;
  const kinds = given.texts("kind");
  const text = given.text("sample");
  const sample = text === void 0 ? void 0 : Number(text.replace(/%$/, "")) / (text.endsWith("%") ? 100 : 1);
  if (sample !== void 0 && !(sample > 0 && sample <= 1)) throw new WrongUse("option '--sample' must be a part such as 0.1 or 10%");
  const options = { signal, ...kinds.length > 0 && { kinds }, ...sample !== void 0 && { sample } };
  const found = await library().verify(run.open(), run.openTarget(), options);
  await out.result(found, async () => {
    const { same: same2, missing, extra, different, unreadable, ids } = found;
    await out.facts([
      ["same", same2],
      ["missing in the target", missing],
      ["in the target alone", extra],
      ["other bytes", different.bytes],
      ["another expiry", different.expiry],
      ["another version", different.version],
      ["unreadable", unreadable]
    ]);
    if (ids.length > 0) await out.list(ids, DIFFERENCES);
  });
  return found.equal ? EXIT.done : EXIT.differs;
}
async function exportTo(run) {
  const { given, out } = run;
  const file = given.argument("file");
  if (file === "-" && out.isJson) throw new WrongUse("give a file, or not --json: both would be on stdout");
  const source = run.open();
  if (file !== "-") await checkFile(file, run);
  const rejects = new RejectsFile(given.text("rejects"), false);
  const level = given.number("level");
  const options = {
    ...termsOf(run, rejects),
    ...level !== void 0 && { level },
    ...given.flag("compress") && { compress: true },
    ...file !== "-" && { overwrite: true }
  };
  const move = library().exportToFile(source, file === "-" ? process.stdout : file, options);
  return await follow(file === "-" ? { ...run, out: out.onStderr() } : run, move, rejects);
}
async function importFrom(run) {
  const { given } = run;
  const file = given.argument("file");
  const target = run.open();
  await askToReplace(run);
  const rejects = new RejectsFile(given.text("rejects"), false);
  const options = { ...termsOf(run, rejects), ...writingOf(run), ...given.flag("allow-partial") && { allowPartial: true } };
  return await follow(run, library().importFromFile(file === "-" ? process.stdin : file, target, options), rejects);
}
var moving = [
  {
    name: "transfer",
    about: "move whole records from one store into another",
    more: "Bytes, expiries, versions, dates, statuses, leases and logs arrive as they were; what has expired is counted, not moved. The source is only read. Ctrl-C ends the batches that are under way. Ends with 3 if records could not be moved and --on-error is skip.",
    urls: 2,
    options: [
      ...READING,
      ...WRITING,
      { name: "verify", about: "compare both sides at the end" },
      { name: "resume", value: "file", about: "keep the place in this file, and go on from there if it exists" }
    ],
    json: "value",
    asks: true,
    stops: true,
    examples: [
      {
        line: "transfer redis://cache:6379 postgres://app@db/orders --resume move.json --verify",
        does: "everything; run it again if it was stopped"
      },
      {
        line: "transfer sqlite:old.db sqlite:new.db --kind payloads --on-error skip --rejects rejected.jsonl",
        does: "what can be moved; the rest is in a file"
      }
    ],
    run: transfer
  },
  {
    name: "verify",
    about: "compare two stores, record by record",
    more: "Ends with 3 if something is missing, extra or different. What changes meanwhile may be told as different.",
    urls: 2,
    options: [KIND, { name: "sample", value: "part", about: "only a part of the records, such as 10% or 0.1" }],
    json: "value",
    stops: true,
    examples: [{ line: "verify redis://cache:6379 postgres://app@db/orders --sample 10%", does: "a tenth of them" }],
    run: verify
  },
  {
    name: "export",
    about: "write whole records into a file, or to stdout (-)",
    more: "JSON lines, compressed with Zstandard where the name ends in .zst. A file of its name is whole: it is written beside its place first.",
    urls: 1,
    takes: [{ name: "file", about: "its name; - is stdout" }],
    options: [
      ...READING,
      { name: "compress", about: "also where the name does not end in .zst" },
      { name: "level", value: "level", kind: "whole", about: "Zstandard's level, 1 to 19 (default 3)" }
    ],
    json: "value",
    asks: true,
    stops: true,
    examples: [
      { line: "export postgres://app@db/orders orders.jsonl.zst", does: "a backup of everything" },
      { line: "export sqlite:orders.db - --kind outbox | jq .", does: "look at the events" }
    ],
    run: exportTo
  },
  {
    name: "import",
    about: "store the records of a file that export has written, as they were",
    more: "A file without its end, or with another digest, is refused before anything is stored; of stdin that is known at its end.",
    urls: 1,
    takes: [{ name: "file", about: "its name; - is stdin" }],
    options: [...READING, ...WRITING, { name: "allow-partial", about: "also a file whose end is missing" }],
    json: "value",
    asks: true,
    stops: true,
    examples: [{ line: "import sqlite:copy.db orders.jsonl.zst --on-conflict newer --yes", does: "what is newer replaces what is there" }],
    run: importFrom
  }
];

// ts/cli/commands/setup.ts
async function init({ open: open2, out }) {
  const warnings = [];
  const store = open2((text) => warnings.push(text));
  await store.initialize();
  await out.result({ backend: store.backend, warnings }, async () => {
    for (const warning of warnings) out.warn(warning);
    await out.line(`${store.backend}: what the store needs is there`);
  });
}
async function schema({ open: open2, out }) {
  const store = open2();
  const sql = store.schemaSql();
  await out.result({ backend: store.backend, sql }, () => out.write(sql));
}
async function health({ open: open2, out, initCommand: initCommand2 }) {
  const found = await open2().health();
  if (found.message !== void 0) found.message = advised(found.message, initCommand2("source"));
  await out.result(found, async () => {
    const color = { healthy: "green", degraded: "yellow", unhealthy: "red" }[found.status];
    const facts = [
      ["backend", found.backend],
      ["latency", `${found.latencyMs.toFixed(1)} ms`],
      ["version", found.serverVersion],
      ["because", found.message],
      ...Object.entries(found.details)
    ];
    await out.line(out.style(color, found.status));
    await out.facts(facts, "  ");
  });
  if (found.status === "healthy") return EXIT.done;
  if (found.status === "degraded") return EXIT.differs;
  return ["CONNECTION", "TIMEOUT"].includes(String(found.details.code)) ? EXIT.unreachable : EXIT.failed;
}
async function stats({ open: open2, out }) {
  const found = await open2().statistics();
  const { backend, payloads: payloads2, executions: executions2, outbox: outbox2 } = found;
  await out.result({ backend, payloads: payloads2, executions: executions2, outbox: outbox2 }, async () => {
    const age = (ms) => ms === null ? null : shownDuration(ms);
    await out.line(out.style("bold", "payloads"));
    const { count: count2, bytes, expired } = payloads2;
    await out.facts([["stored", count2], ["bytes", shownBytes(bytes)], ["expired, not removed", expired]], "  ");
    if (executions2 !== null) {
      const { total, byStatus, parked: parked2, leased, oldestDueAt } = executions2;
      await out.line(out.style("bold", "executions"));
      await out.facts([["stored", total], ...Object.entries(byStatus), ["parked", parked2], ["leased", leased], ["due since", oldestDueAt]], "  ");
    }
    if (outbox2 !== null) {
      const { oldestReadyMs, blockedKeys, dead: dead2, ...others } = outbox2;
      await out.line(out.style("bold", "outbox"));
      await out.facts([...Object.entries(others), ["dead letters", dead2], ["blocked keys", blockedKeys], ["oldest ready", age(oldestReadyMs)]], "  ");
    }
  });
}
async function cleanup({ open: open2, out, given }) {
  const store = open2();
  const limit = given.number("limit");
  let removed = 0;
  const days = given.number("ended-before");
  if (days !== void 0) removed += await store.executions.cleanup({ olderThanMs: days });
  removed += await store.purgeExpired(limit === void 0 ? {} : { limit });
  await out.result({ removed }, () => out.line(`removed ${removed.toLocaleString("en-US")}`));
}
var setup = [
  {
    name: "init",
    about: "create tables, indexes and whatever else the store needs",
    more: "Safe to run again, and from several machines at once. What the server does not allow is a warning that names it.",
    urls: 1,
    json: "value",
    examples: [
      { line: "init sqlite:orders.db", does: "create the file and its tables" },
      { line: "init --namespace orders --url-file /run/secrets/database-url", does: "with names of its own; the URL is in a file" }
    ],
    run: init
  },
  {
    name: "schema",
    about: "print the SQL that makes the tables (PostgreSQL, SQLite)",
    more: "For people who run their own migrations. Nothing is connected.",
    urls: 1,
    json: "value",
    examples: [{ line: "schema postgres://db/orders --option schema=sagas > V7__sagastore.sql", does: "a migration" }],
    run: schema
  },
  {
    name: "health",
    about: "ask whether the store can be used",
    more: "Ends with 0 if it is healthy, with 3 if it is degraded, with 4 if it cannot be reached. `doctor` looks closer.",
    urls: 1,
    json: "value",
    examples: [{ line: "health redis://cache:6379 --quiet", does: "a probe for an orchestrator" }],
    run: health
  },
  {
    name: "stats",
    about: "count what is stored",
    more: "It reads the whole table (DynamoDB charges for that), on Redis all keys of the database.",
    urls: 1,
    json: "value",
    examples: [{ line: "stats postgres://app@db/orders --json | jq .outbox.dead", does: "how many dead letters there are" }],
    run: stats
  },
  {
    name: "cleanup",
    about: "remove what has expired",
    more: "Payloads, sagas, executions, events and messages whose time is over. On Redis and MongoDB the server removes most of it by itself.",
    urls: 1,
    options: [
      { name: "limit", value: "count", kind: "whole", about: "remove at most so many" },
      { name: "ended-before", value: "duration", kind: "duration", about: "also executions that ended so long ago, such as 30d" }
    ],
    json: "value",
    examples: [{ line: "cleanup sqlite:orders.db", does: "from cron, every few minutes" }],
    run: cleanup
  }
];

// ts/cli/completion.ts
var SHELLS = ["bash", "zsh", "fish", "powershell"];
var takesFile = ({ value }) => value === "file";
function firstWords(commands) {
  const words = [];
  for (const { name, about } of commands) {
    const [word, second] = name.split(" ");
    if (second === void 0) words.push({ word, about, seconds: [] });
    else {
      let group = words.find((one) => one.word === word);
      if (group === void 0) {
        group = { word, about: "", seconds: [] };
        words.push(group);
      }
      group.seconds.push({ word: second, about });
    }
  }
  for (const group of words) group.about ||= group.seconds.map(({ word }) => word).join(", ");
  return words;
}
function wordsOf({ takes = [] }) {
  return takes.flatMap(({ choices = [] }) => choices);
}
function completionOf(shell, commands) {
  return { bash, zsh, fish, powershell }[shell](commands);
}
var flags = (command) => [...optionsOf(command).map(({ name }) => `--${name}`), "--help"].join(" ");
function bash(commands) {
  const first = firstWords(commands);
  const groups = first.filter(({ seconds }) => seconds.length > 0);
  const choices = commands.flatMap(
    (command) => optionsOf(command).filter((option) => option.choices !== void 0).map(({ name, choices: choices2 = [] }) => `    "${command.name} --${name}") words="${choices2.join(" ")}" ;;`)
  );
  const files = new Set(
    commands.flatMap(
      (command) => optionsOf(command).filter(takesFile).map(({ name }) => `--${name}`)
    )
  );
  return `# sagastore completion for bash. Put it into ~/.bashrc: source <(sagastore completion bash)
_sagastore() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" command="\${COMP_WORDS[1]}" words=""
  case "$command" in
    ${groups.map(({ word }) => word).join("|")}) [ "$COMP_CWORD" -gt 2 ] && command="$command \${COMP_WORDS[2]}" ;;
  esac
  case "$prev" in
    ${[...files].join("|")}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  case "$command $prev" in
${choices.join("\n")}
  esac
  if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$cur")); return; fi
  if [ "$COMP_CWORD" -eq 1 ]; then words="${[...first.map(({ word }) => word), "help"].join(" ")}"; else
    case "$command" in
${groups.map(({ word, seconds }) => `      ${word}) words="${seconds.map((one) => one.word).join(" ")}" ;;`).join("\n")}
${commands.map((command) => `      "${command.name}") words="${[...wordsOf(command), flags(command)].join(" ")}" ;;`).join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _sagastore sagastore
`;
}
var quoted2 = (text) => `'${text.replaceAll("'", "'\\''")}'`;
function zsh(commands) {
  const first = firstWords(commands);
  const described = (words) => words.map(({ word, about }) => quoted2(`${word}:${about}`)).join(" ");
  const specOf = ({ name, value, about, many, choices }) => {
    const escaped2 = about.replace(/[[\]:\\]/g, "\\$&");
    const action = choices !== void 0 ? `(${choices.join(" ")})` : value === "file" ? "_files" : " ";
    return quoted2(`${many ? "*" : ""}--${name}[${escaped2}]${value === void 0 ? "" : `:${value}:${action}`}`);
  };
  const argumentsOf2 = (command) => {
    const words = wordsOf(command);
    return words.length > 0 ? quoted2(`*:argument:(${words.join(" ")})`) : quoted2("*:argument:_files");
  };
  return `#compdef sagastore
# sagastore completion for zsh. Put it into ~/.zshrc: source <(sagastore completion zsh)
_sagastore() {
  local -a words_here
  if (( CURRENT == 2 )); then
    words_here=(${described(first)})
    _describe command words_here
    return
  fi
  local command=$words[2]
  case $command in
${first.filter(({ seconds }) => seconds.length > 0).map(
    ({ word, seconds }) => `    ${word})
      if (( CURRENT == 3 )); then
        words_here=(${described(seconds)})
        _describe command words_here
        return
      fi
      command="$command $words[3]" ;;`
  ).join("\n")}
  esac
  case $command in
${commands.map((command) => `    ${quoted2(command.name)}) _arguments ${[...optionsOf(command).map(specOf), argumentsOf2(command)].join(" ")} ;;`).join("\n")}
  esac
}
if [ "$funcstack[1]" = "_sagastore" ]; then _sagastore "$@"; else compdef _sagastore sagastore; fi
`;
}
function fish(commands) {
  const first = firstWords(commands);
  const lines = [
    "# sagastore completion for fish. Put it there: sagastore completion fish > ~/.config/fish/completions/sagastore.fish",
    "complete -c sagastore -f"
  ];
  const at = (name) => {
    const [word, second] = name.split(" ");
    const seen = `__fish_seen_subcommand_from ${word}`;
    return second === void 0 ? seen : `${seen}; and __fish_seen_subcommand_from ${second}`;
  };
  for (const { word, about, seconds } of first) {
    lines.push(`complete -c sagastore -n __fish_use_subcommand -a ${word} -d ${quoted2(about)}`);
    const all = seconds.map((one) => one.word).join(" ");
    for (const second of seconds) {
      const condition = `__fish_seen_subcommand_from ${word}; and not __fish_seen_subcommand_from ${all}`;
      lines.push(`complete -c sagastore -n ${quoted2(condition)} -a ${second.word} -d ${quoted2(second.about)}`);
    }
  }
  for (const command of commands) {
    const words = wordsOf(command);
    if (words.length > 0) lines.push(`complete -c sagastore -n ${quoted2(at(command.name))} -a ${quoted2(words.join(" "))}`);
    for (const { name, value, about, choices } of optionsOf(command)) {
      const taken = value === void 0 ? "" : choices !== void 0 ? ` -x -a ${quoted2(choices.join(" "))}` : value === "file" ? " -r -F" : " -x";
      lines.push(`complete -c sagastore -n ${quoted2(at(command.name))} -l ${name}${taken} -d ${quoted2(about)}`);
    }
  }
  return `${lines.join("\n")}
`;
}
function powershell(commands) {
  const doubled = (text) => `'${text.replaceAll("'", "''")}'`;
  const first = firstWords(commands);
  const list5 = (words) => words.map(({ word, about }) => `@{ Word = ${doubled(word)}; About = ${doubled(about)} }`).join(", ");
  const entries = commands.map((command) => {
    const options = optionsOf(command).map(({ name, about }) => ({ word: `--${name}`, about }));
    const words = wordsOf(command).map((word) => ({ word, about: word }));
    return `    ${doubled(command.name)} = @(${list5([...words, ...options])})`;
  });
  const groups = first.filter(({ seconds }) => seconds.length > 0).map(({ word, seconds }) => `    ${doubled(word)} = @(${list5(seconds)})`);
  return `# sagastore completion for PowerShell. Put it into $PROFILE: sagastore completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName sagastore -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $known = @{
    '' = @(${list5(first)})
${[...groups, ...entries].join("\n")}
  }
  $typed = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
  if ($wordToComplete -ne '' -and $typed.Count -gt 0) { $typed = @($typed | Select-Object -SkipLast 1) }
  $command = ''
  if ($typed.Count -gt 0 -and $known.ContainsKey($typed[0])) { $command = $typed[0] }
  if ($typed.Count -gt 1 -and $known.ContainsKey("$($typed[0]) $($typed[1])")) { $command = "$($typed[0]) $($typed[1])" }
  $known[$command] | Where-Object { $_.Word -like "$wordToComplete*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_.Word, $_.Word, 'ParameterValue', $_.About)
  }
}
`;
}

// ts/cli/manual.ts
function escaped(text) {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^([.'])/gm, "\\&$1").replaceAll('"', "\\(dq");
}
function optionLines(options) {
  return options.flatMap(({ name, value, about }) => [
    ".TP",
    `\\fB\\-\\-${escaped(name)}\\fR${value === void 0 ? "" : ` \\fI${escaped(value)}\\fR`}`,
    escaped(about)
  ]);
}
var SHARED = new Set([...STORE_OPTIONS, ...TARGET_OPTIONS, ...COMMON_OPTIONS].map(({ name }) => name).concat("json", "yes"));
function manualOf(commands, version2, summary) {
  const lines = [
    '.\\" Generated from ts/cli/ by `npm run build:ts`. Do not edit.',
    `.TH SAGASTORE 1 "" "sagastore ${escaped(version2)}" "User Commands"`,
    ".SH NAME",
    "sagastore \\- look into stores of sagas, move and mend what is in them",
    ".SH SYNOPSIS",
    ".B sagastore",
    "\\fIcommand\\fR [\\fIURL\\fR] [\\fIoption\\fR ...] [\\fIargument\\fR ...]",
    ".SH DESCRIPTION",
    escaped(summary),
    ".PP",
    escaped(
      "The URL comes first among the arguments. It may also stand in SAGASTORE_URL, or in a file (--url-file): a password in an argument can be seen by others. With --url-file no argument is taken for a URL."
    ),
    ".PP",
    escaped(
      "Durations are 500ms, 30s, 15m, 2h, 7d, also 1h30m. Sizes are 65536, 64k, 10M, 1G. Times are ISO 8601, such as 2026-12-31T23:00:00Z."
    ),
    ".SH OPTIONS OF ALL COMMANDS",
    ...optionLines([
      ...STORE_OPTIONS,
      { name: "json", about: 'print JSON and nothing else; lists have one record a line. Bytes are {"base64": "..."}' },
      { name: "yes", about: "do not ask: for what destroys something" },
      ...COMMON_OPTIONS
    ]),
    ".SH COMMANDS"
  ];
  for (const command of commands) {
    const { name, about, more, takes = [], examples } = command;
    lines.push(`.SS ${escaped(`${name} ${usageOf(command)}`.trim())}`, `${escaped(about[0]?.toUpperCase() + about.slice(1))}.`);
    if (more !== void 0) lines.push(".PP", escaped(more));
    for (const argument of takes) lines.push(".TP", `\\fI${escaped(argument.name)}\\fR`, escaped(argument.about));
    lines.push(...optionLines(optionsOf(command).filter((option) => !SHARED.has(option.name) || command.options?.includes(option))));
    lines.push(...command.urls > 1 ? optionLines(TARGET_OPTIONS) : []);
    for (const { line, does } of examples) {
      lines.push(
        ".PP",
        `${escaped(does[0]?.toUpperCase() + does.slice(1))}:`,
        ".PP",
        ".RS 4",
        ".nf",
        escaped(`sagastore ${line}`),
        ".fi",
        ".RE"
      );
    }
  }
  lines.push(
    ".SH EXIT STATUS",
    ...[
      ["0", "It is done. A reader that closes the pipe is no failure."],
      ["1", "It failed."],
      ["2", "Wrong use: the message says what is wrong."],
      ["3", "It is done, with failures or differences; the doctor has found something."],
      ["4", "The server cannot be reached, or has not answered in time."],
      ["130", "Ctrl-C."]
    ].flatMap(([code, text]) => [".TP", `.B ${code}`, escaped(text)]),
    ".SH ENVIRONMENT",
    ...[
      ["SAGASTORE_URL", "The URL, where no argument and no --url-file names one."],
      ["SAGASTORE_TARGET_URL", "The same for the target of transfer and verify."],
      ["SAGASTORE_LOG", "debug, info, warn or error: log operations to stderr."],
      ["NO_COLOR", "No colours, if it is not empty."]
    ].flatMap(([name, text]) => [".TP", `.B ${name}`, escaped(text)])
  );
  return `${lines.join("\n")}
`;
}
function referenceOf(commands) {
  const rows = commands.map((command) => {
    const usage = usageOf(command).replace(/^\[URL\] ?/, "").replaceAll("|", "\\|");
    const own = (command.options ?? []).map(({ name }) => `\`--${name}\``).join(" ");
    return `| \`${command.name}${usage === "" ? "" : ` ${usage}`}\` | ${command.about} | ${own} | ${command.asks ? "yes" : ""} |`;
  });
  return ["| command | what it does | options of its own | asks |", "|---|---|---|---|", ...rows].join("\n");
}

// ts/cli/commands/shell.ts
function shellCommands(all) {
  return [
    {
      name: "completion",
      about: "print a script that completes commands and options in a shell",
      urls: 0,
      takes: [{ name: "shell", about: SHELLS.join(", "), choices: SHELLS }],
      examples: [
        { line: "completion bash > /etc/bash_completion.d/sagastore", does: "for all users of bash" },
        { line: "completion fish > ~/.config/fish/completions/sagastore.fish", does: "for fish" }
      ],
      run: async ({ given, out }) => await out.write(completionOf(given.argument("shell"), all().commands))
    },
    {
      name: "man",
      about: "print the manual page",
      urls: 0,
      examples: [{ line: "man | man -l -", does: "read it" }],
      options: [{ name: "table", about: "the table of commands as Markdown instead, as it stands in docs/cli.md" }],
      async run({ out, given }) {
        const { commands, summary } = all();
        await out.write(given.flag("table") ? `${referenceOf(commands)}
` : manualOf(commands, version, summary));
      }
    }
  ];
}

// ts/cli/table.ts
var SUMMARY = "Looks into stores of sagas, moves and mends what is in them.";
var COMMANDS = [
  ...setup.filter(({ name }) => name === "init" || name === "schema"),
  ...doctors,
  ...setup.filter(({ name }) => name === "health" || name === "stats"),
  ...payloads,
  ...inspecting,
  ...setup.filter(({ name }) => name === "cleanup"),
  ...moving,
  ...states,
  ...executions,
  ...outbox,
  ...shellCommands(() => ({ commands: COMMANDS, summary: SUMMARY }))
];

// ts/cli/program.ts
var Shown = class extends Error {
};
var GROUPS = {
  states: "look at the state of sagas",
  executions: "look at executions, and bring parked ones back",
  outbox: "look at events, requeue and discard dead letters"
};
var EPILOG = `The URL comes first: sqlite:orders.db, postgres://app@db/orders, redis://cache:6379, mongodb://db/orders,
dynamodb://eu-west-1/table. A password in an argument can be seen by others: put the URL into SAGASTORE_URL,
or into a file for --url-file.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 done with failures or differences, 4 not reachable, 130 Ctrl-C.`;
function parse(args, version2) {
  const found = {};
  const program2 = programOf(version2, (parsed) => {
    found.parsed = parsed;
  });
  try {
    program2.parse(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) throw new Shown();
    throw new WrongUse(error.code === "commander.help" ? "" : error.message.replace(/^error: /, ""));
  }
  if (found.parsed === void 0) throw new WrongUse("");
  return found.parsed;
}
function programOf(version2, run) {
  const program2 = new Command("sagastore");
  settle(program2);
  program2.usage("<command> [URL]").description(SUMMARY).version(version2, "-V, --version", "print the version").addHelpText("after", `
${EPILOG}`);
  program2.helpCommand("help [command]", "show the help of a command");
  const groups = /* @__PURE__ */ new Map();
  for (const spec of COMMANDS) {
    const words = spec.name.split(" ");
    const [group] = words;
    let parent = program2;
    if (words.length === 2 && group !== void 0) {
      parent = groups.get(group) ?? settle(program2.command(group)).description(GROUPS[group] ?? "").usage("<command> [URL]");
      groups.set(group, parent);
    }
    add(parent, spec, words.at(-1), run);
  }
  return program2;
}
function add(parent, spec, name, run) {
  const command = settle(parent.command(name));
  const usage = usageOf(spec);
  command.summary(spec.about).description(`${sentence(spec.about)}${spec.more === void 0 ? "" : `

${spec.more}`}`);
  command.usage(`[options]${usage === "" ? "" : ` ${usage}`}`).argument("[arguments...]");
  for (const option of optionsOf(spec)) command.addOption(optionOf(option));
  command.addHelpText("after", () => `${argumentsOf(spec)}
Examples:
${examplesOf(spec)}`);
  command.action((positionals, given) => {
    run({ command: spec, options: new Map(Object.entries(given).map(([key, value]) => [dashed(key), value])), positionals });
  });
}
function settle(command) {
  return command.exitOverride().allowExcessArguments(true).showSuggestionAfterError(true).configureHelp({
    visibleArguments: () => [],
    subcommandTerm: (sub) => `${sub.name()}`,
    helpWidth: Math.min(process.stdout.columns ?? 100, 110)
  }).configureOutput({ outputError: () => void 0 });
}
function optionOf({ name, value, many, about }) {
  if (name === "no-color") return new Option("--no-color", about);
  const option = new Option(value === void 0 ? `--${name}` : `--${name} <${value}>`, about);
  return many ? option.argParser((text, before) => [...Array.isArray(before) ? before : [], text]) : option;
}
function argumentsOf({ takes = [] }) {
  if (takes.length === 0) return "";
  const width = Math.max(...takes.map(({ name }) => name.length));
  return `
Arguments:
${takes.map(({ name, about }) => `  ${name.padEnd(width)}  ${about}
`).join("")}`;
}
function examplesOf({ examples }) {
  return examples.map(({ line, does }) => `  # ${does}
  sagastore ${line}`).join("\n");
}
function sentence(about) {
  return `${about[0]?.toUpperCase()}${about.slice(1)}.`;
}
function dashed(key) {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

// ts/cli/main.ts
var CLOSE_MS = 2e3;
async function main(args, version2) {
  process.stdout.on("error", (error) => {
    if (error.code !== "EPIPE" && error.code !== "EOF") throw error;
  });
  let parsed;
  try {
    parsed = parse(args, version2);
  } catch (error) {
    if (error instanceof Shown) return EXIT.done;
    if (!(error instanceof WrongUse)) throw error;
    return complain(error);
  }
  const { command, options, positionals } = parsed;
  const isOn = (name) => options.get(name) === true;
  const out = new Output({ json: isOn("json"), quiet: isOn("quiet"), color: options.get("color") !== false });
  let given;
  try {
    given = Given.of(command, options, positionals);
  } catch (error) {
    if (error instanceof WrongUse) return complain(error, command);
    throw error;
  }
  return await execute(command, given, out);
}
async function execute(command, given, out) {
  const stop = new AbortController();
  const interrupted = { by: void 0 };
  const onSignal = (signal) => {
    const code = signal === "SIGINT" ? EXIT.interrupted : 143;
    if (!command.stops || interrupted.by !== void 0) process.exit(code);
    interrupted.by = signal;
    stop.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  const stores = /* @__PURE__ */ new Map();
  const open2 = (side, onWarning = (text) => out.warn(text)) => {
    const store = openStore(given, side, onWarning);
    stores.set(store, side);
    return store;
  };
  const initOf = (side) => {
    const [store] = [...stores].find(([, other]) => other === side) ?? [];
    return initCommand(given, side, store);
  };
  const tell = (what, error) => {
    const message = messageOf(error);
    process.stderr.write(`${out.styleOf(process.stderr, "red", what)} ${withoutCalls(message)}
`);
    if (!wantsInit(message)) return;
    const commands = [...stores.values()].map((side) => `\`${initOf(side)}\``);
    process.stderr.write(`Run ${commands.join(" or ")}.
`);
  };
  const run = {
    command,
    given,
    out,
    signal: stop.signal,
    open: (onWarning) => open2("source", onWarning),
    openTarget: () => open2("target"),
    tell,
    initCommand: initOf,
    ask: (question) => ask(question, given.flag("yes"), stop.signal)
  };
  let exit;
  try {
    exit = await command.run(run) ?? EXIT.done;
  } catch (error) {
    if (error instanceof NobodyReads || out.isClosed) exit = EXIT.done;
    else if (error instanceof WrongUse) exit = complain(error, command);
    else {
      tell("error:", error);
      exit = exitOf(error);
    }
  }
  await close([...stores.keys()]);
  process.off("SIGINT", onSignal);
  process.off("SIGTERM", onSignal);
  if (interrupted.by === void 0) return exit;
  return interrupted.by === "SIGTERM" ? 143 : EXIT.interrupted;
}
async function close(stores) {
  const closed = Promise.allSettled(stores.map((store) => store.close()));
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, CLOSE_MS);
  });
  await Promise.race([closed, late]);
  clearTimeout(timer);
}
function complain(error, command) {
  if (error.message !== "") {
    const help = command === void 0 ? "sagastore --help" : `sagastore ${command.name} --help`;
    process.stderr.write(`error: ${error.message}
Try \`${help}\`.
`);
  }
  return EXIT.wrongUse;
}

// ts/cli/bin.ts
main(process.argv.slice(2), version).then(
  (exit) => {
    process.exitCode = exit;
  },
  (error) => {
    console.error(error);
    process.exitCode = 1;
  }
);

/*
This file contains:

ansi-regex 5.0.1 (MIT)

MIT License

Copyright (c) Sindre Sorhus <sindresorhus@gmail.com> (sindresorhus.com)

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

---

cli-progress 3.12.0 (MIT)

The MIT License (X11 License)

Copyright (c) 2015-2022 Andi Dittrich

Permission is hereby granted, free of charge, to any person
obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without
restriction, including without limitation the rights to use,
copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following
conditions:

The above copyright notice and this permission notice shall be
included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT
HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY,
WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR
OTHER DEALINGS IN THE SOFTWARE.

---

commander 14.0.3 (MIT)

(The MIT License)

Copyright (c) 2011 TJ Holowaychuk <tj@vision-media.ca>

Permission is hereby granted, free of charge, to any person obtaining
a copy of this software and associated documentation files (the
'Software'), to deal in the Software without restriction, including
without limitation the rights to use, copy, modify, merge, publish,
distribute, sublicense, and/or sell copies of the Software, and to
permit persons to whom the Software is furnished to do so, subject to
the following conditions:

The above copyright notice and this permission notice shall be
included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED 'AS IS', WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT.
IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT,
TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE
SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

---

emoji-regex 8.0.0 (MIT)

Copyright Mathias Bynens <https://mathiasbynens.be/>

Permission is hereby granted, free of charge, to any person obtaining
a copy of this software and associated documentation files (the
"Software"), to deal in the Software without restriction, including
without limitation the rights to use, copy, modify, merge, publish,
distribute, sublicense, and/or sell copies of the Software, and to
permit persons to whom the Software is furnished to do so, subject to
the following conditions:

The above copyright notice and this permission notice shall be
included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION
OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION
WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

---

is-fullwidth-code-point 3.0.0 (MIT)

MIT License

Copyright (c) Sindre Sorhus <sindresorhus@gmail.com> (sindresorhus.com)

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

---

string-width 4.2.3 (MIT)

MIT License

Copyright (c) Sindre Sorhus <sindresorhus@gmail.com> (sindresorhus.com)

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

---

strip-ansi 6.0.1 (MIT)

MIT License

Copyright (c) Sindre Sorhus <sindresorhus@gmail.com> (sindresorhus.com)

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
