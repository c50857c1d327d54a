"use strict";
// As a compiler of TypeScript writes it.
var __importDefault = (this && this.__importDefault) || function (mod) {
  return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const lambda_1 = __importDefault(require("@intrinsic/lambda"));
const node_path_1 = __importDefault(require("node:path"));
console.log("configuring");
module.exports = new lambda_1.default()
  .configurePolicies((policy) => {
    policy.outboundHttp.allowGet(`https://${process.env.NODE_ENV === "production" ? "api" : "api-test"}.example.com/**`);
  })
  .setHandlerFile(node_path_1.default.join(__dirname, "handler.js"))
  .run();
