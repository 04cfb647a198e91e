import { buildSchema, type GraphQLSchema } from "graphql";

/**
 * The part of the GraphQL schema of W&B that its Python client 0.31.0 and this plugin ask for. Whatever lies outside it is
 * refused, as it is by the real server.
 */
export const wandbSchema: GraphQLSchema = buildSchema(`
  scalar JSONString
  scalar Int64
  scalar Duration
  scalar DateTime
  enum AlertSeverity { INFO WARN ERROR }
  enum ViewSource { WANDB_SDK }

  type Query {
    viewer: User
    serverInfo: ServerInfo
    entity(name: String): Entity
    project(name: String, entityName: String): Project
    model(name: String, entityName: String): Project
  }
  type User { id: ID, name: String, entity: String, username: String, email: String, flags: JSONString, admin: Boolean, teams: TeamConnection }
  type TeamConnection { edges: [TeamEdge!]! }
  type TeamEdge { node: Team }
  type Team { name: String }
  type ServerInfo { features: [ServerFeature!]! }
  type ServerFeature { name: String, isEnabled: Boolean }
  type Entity { id: ID, name: String, organization: Organization }
  type Organization { coreWeaveOrganizationId: String }

  type Project {
    id: ID, internalId: ID, name: String, entity: Entity, readOnly: Boolean
    bucket(name: String!, missingOk: Boolean): Run
    run(name: String): Run
    allViews(viewType: String, viewName: String, userName: String): ViewConnection
  }
  type ViewConnection { edges: [ViewEdge!]! }
  type ViewEdge { node: View }
  type View { id: ID, name: String, displayName: String, type: String, spec: JSONString }

  type Run {
    id: ID, projectId: ID, name: String, displayName: String, description: String, notes: String, tags: [String!], state: String
    config: JSONString, wandbConfig(keys: [String!]): JSONString, group: String, jobType: String, commit: String, sweepName: String, readOnly: Boolean
    createdAt: DateTime, heartbeatAt: DateTime, systemMetrics: JSONString, summaryMetrics: JSONString, user: User, project: Project
    historyLineCount: Int, logLineCount: Int, eventsLineCount: Int, historyTail: JSONString, eventsTail: JSONString, historyKeys: JSONString
    history(samples: Int, minStep: Int64, maxStep: Int64): [JSONString!]
    fileCount: Int
    files(names: [String], after: String, first: Int, pattern: String): FileConnection
  }
  type FileConnection { edges: [FileEdge!]!, pageInfo: PageInfo! }
  type FileEdge { node: File, cursor: String }
  type File { id: ID, name: String, url(upload: Boolean): String, directUrl: String, sizeBytes: Int64, mimetype: String, updatedAt: DateTime, md5: String }
  type PageInfo { endCursor: String, hasNextPage: Boolean! }

  type Mutation {
    upsertBucket(input: UpsertBucketInput!): UpsertBucketPayload
    deleteRun(input: DeleteRunInput!): DeleteRunPayload
    createRunFiles(input: CreateRunFilesInput!): CreateRunFilesPayload
    notifyScriptableRunAlert(input: NotifyScriptableRunAlertInput!): SuccessPayload
    upsertView(input: UpsertViewInput!): UpsertViewPayload
  }
  input UpsertBucketInput {
    id: String, name: String, groupName: String, modelName: String, entityName: String, description: String, displayName: String
    notes: String, config: JSONString, commit: String, host: String, debug: Boolean, jobProgram: String, jobRepo: String
    jobType: String, state: String, sweep: String, tags: [String!], summaryMetrics: JSONString
  }
  type UpsertBucketPayload { bucket: Run, inserted: Boolean }
  input DeleteRunInput { id: ID!, deleteArtifacts: Boolean }
  type DeleteRunPayload { clientMutationId: String }
  input CreateRunFilesInput { entityName: String!, projectName: String!, runName: String!, files: [String!]! }
  type CreateRunFilesPayload { runID: ID, uploadHeaders: [String!], files: [UploadFile!] }
  type UploadFile { name: String, uploadUrl: String }
  input NotifyScriptableRunAlertInput {
    entityName: String!, projectName: String!, runName: String!, title: String!, text: String!, severity: AlertSeverity = INFO, waitDuration: Duration
  }
  type SuccessPayload { success: Boolean }
  input UpsertViewInput {
    id: ID, entityName: String, projectName: String, name: String, displayName: String, description: String, type: String, spec: String, createdUsing: ViewSource
  }
  type UpsertViewPayload { view: View, inserted: Boolean }
`);
